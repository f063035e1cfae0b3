package host

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/linkspan/linkspan/test/nodes/network"
)

// Options say what a node is.
type Options struct {
	// Name is the Node's name.
	Name string
	// Dir is the node's folder, Programs the one that kubebin.EnsureNodes returns.
	Dir, Programs string
	// Namespace is plugged in already.
	Namespace *network.Namespace
	// Address is the node's own; Pods are the addresses of its pods, AllPods of the whole cluster's.
	Address       netip.Addr
	Pods, AllPods netip.Prefix
	// DNS is the address that pods ask for names.
	DNS netip.Addr
	// Cgroup is the group of everything that runs in pods, such as linkspan-nodes-1/west-1.
	Cgroup string
	// Kubeconfig and ProxyKubeconfig are files.
	Kubeconfig, ProxyKubeconfig string
	// Pause is the name of the image that holds pods' namespaces, one of those imported.
	Pause string
}

func (o Options) path(parts ...string) string {
	return filepath.Join(append([]string{o.Dir}, parts...)...)
}

func (o Options) program(name string) string { return filepath.Join(o.Programs, name) }

func (o Options) socket() string { return o.path("containerd.sock") }

// containerdSettings: no registry, no plugins of others, no paths outside the node's folder. It may lack the right to lower
// a process's score for being killed, and the machine may have profiles of AppArmor that nobody loaded here.
const containerdSettings = `version = 3
root = "@DIR@/containerd"
state = "@DIR@/containerd-state"
[grpc]
  address = "@SOCKET@"
[plugins."io.containerd.internal.v1.opt"]
  path = "@DIR@/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "@PAUSE@"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  enable_cdi = false
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["@PROGRAMS@"]
    conf_dir = "@DIR@/cni"
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    runtime_path = "@PROGRAMS@/containerd-shim-runc-v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "@PROGRAMS@/oci"
      SystemdCgroup = false
`

// networkSettings give each pod a cable of its own to the node, which routes: a pod's packets pass the node's packet filters
// on every way, also to a pod beside it. With a bridge they would need the kernel's module br_netfilter.
const networkSettings = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {
    "type": "host-local", "dataDir": "@DIR@/addresses",
    "ranges": [[{"subnet": "@PODS@"}]], "routes": [{"dst": "0.0.0.0/0"}]}}
]}
`

// kubeletSettings leave kubelet open to everybody: nobody but the rig can reach it.
const kubeletSettings = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /@CGROUP@
clusterDNS: ["@DNS@"]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://@SOCKET@
enforceNodeAllocatable: []
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
podLogsDir: @DIR@/pod-logs
registerNode: true
resolvConf: ""
serializeImagePulls: false
volumePluginDir: @DIR@/volume-plugins
`

const proxySettings = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: @PROXYCONFIG@}
clusterCIDR: @ALLPODS@
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
hostnameOverride: @NAME@
mode: nftables
nftables: {minSyncPeriod: 50ms, syncPeriod: 30s}
`

// write fills the node's folder.
func (o Options) write() error {
	values := strings.NewReplacer(
		"@PROXYCONFIG@", o.ProxyKubeconfig, "@ALLPODS@", o.AllPods.String(), "@PODS@", o.Pods.String(), "@PAUSE@", o.Pause,
		"@PROGRAMS@", o.Programs, "@CGROUP@", o.Cgroup, "@DNS@", o.DNS.String(), "@SOCKET@", o.socket(), "@DIR@", o.Dir, "@NAME@", o.Name,
	)
	for name, text := range map[string]string{
		"containerd.toml":    containerdSettings,
		"cni/pods.conflist":  networkSettings,
		"kubelet.yaml":       kubeletSettings,
		"kube-proxy.yaml":    proxySettings,
		"pod-logs/.keep":     "",
		"volume-plugins/.no": "",
	} {
		path := o.path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make the folder of node %s: %w", o.Name, err)
		}
		if err := os.WriteFile(path, []byte(values.Replace(text)), 0o600); err != nil {
			return fmt.Errorf("write %s of node %s: %w", name, o.Name, err)
		}
	}
	return nil
}

func (o Options) kubeletArgs() []string {
	return []string{
		"--config=" + o.path("kubelet.yaml"),
		"--kubeconfig=" + o.Kubeconfig,
		"--root-dir=" + o.path("kubelet"),
		"--cert-dir=" + o.path("kubelet-pki"),
		"--hostname-override=" + o.Name,
		"--node-ip=" + o.Address.String(),
		"--v=1",
	}
}

// commandPath is where containerd's shim finds its own kind, and kube-proxy nft.
func (o Options) commandPath() string {
	return "PATH=" + o.Programs + string(filepath.ListSeparator) + os.Getenv("PATH")
}
