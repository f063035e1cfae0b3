package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/internal/check"
)

// Names of volumes and keys in the chart.
const (
	volumeAnchors     = "trust-anchors"
	volumeCertificate = "certificate"
	keyCertificate    = "tls.crt"
)

// trust reads what workloads mount: the anchors once for each source, and of certificates never the key.
func (o *Observer) trust(ctx context.Context, namespace string, deployments []appsv1.Deployment) ([]check.Anchors, []check.Certificate) {
	var anchors []check.Anchors
	var certificates []check.Certificate
	for _, d := range deployments {
		pod := d.Spec.Template.Spec
		source := ""
		if v := volume(pod, volumeAnchors); v != nil {
			source = sourceOf(v)
			if !slices.ContainsFunc(anchors, func(a check.Anchors) bool { return a.Source == source }) {
				anchors = append(anchors, check.Anchors{Source: source, PEM: o.bundle(ctx, namespace, v)})
			}
		}
		if v := volume(pod, volumeCertificate); v != nil && v.Secret != nil {
			certificates = append(certificates, check.Certificate{
				Workload: d.Name, Secret: v.Secret.SecretName, Component: d.Labels[labelComponent], Identity: identity(pod), Source: source,
				PEM: o.secretKey(ctx, namespace, v.Secret.SecretName, keyCertificate),
			})
		}
	}
	return anchors, certificates
}

// linkerdAnchors are those of the mesh (CERT-10).
func (o *Observer) linkerdAnchors(ctx context.Context, controlPlanes []string) []check.Anchors {
	var anchors []check.Anchors
	for _, namespace := range controlPlanes {
		anchors = append(anchors, check.Anchors{
			Source:       fmt.Sprintf("ConfigMap %s in namespace %s, key %s", linkerdRoots, namespace, keyLinkerdRoots),
			ControlPlane: namespace, PEM: o.configMapKey(ctx, namespace, linkerdRoots, keyLinkerdRoots),
		})
	}
	return anchors
}

func volume(pod corev1.PodSpec, name string) *corev1.Volume {
	for i := range pod.Volumes {
		if pod.Volumes[i].Name == name {
			return &pod.Volumes[i]
		}
	}
	return nil
}

// identity is what the workload was told to be; of the controller it is that of its probes.
func identity(pod corev1.PodSpec) string {
	for _, arg := range arguments(pod) {
		for _, flag := range []string{"--identity=", "--probe-identity="} {
			if name, ok := strings.CutPrefix(arg, flag); ok {
				return name
			}
		}
	}
	return ""
}

func sourceOf(v *corev1.Volume) string {
	switch {
	case v.ConfigMap != nil:
		return fmt.Sprintf("ConfigMap %s, key %s", v.ConfigMap.Name, key(v.ConfigMap.Items))
	case v.Secret != nil:
		return fmt.Sprintf("Secret %s, key %s", v.Secret.SecretName, key(v.Secret.Items))
	}
	return "volume " + v.Name
}

func key(items []corev1.KeyToPath) string {
	if len(items) == 0 {
		return ""
	}
	return items[0].Key
}

func (o *Observer) bundle(ctx context.Context, namespace string, v *corev1.Volume) check.Read[[]byte] {
	if v.Secret != nil {
		return o.secretKey(ctx, namespace, v.Secret.SecretName, key(v.Secret.Items))
	}
	if v.ConfigMap == nil {
		return check.Read[[]byte]{}
	}
	return o.configMapKey(ctx, namespace, v.ConfigMap.Name, key(v.ConfigMap.Items))
}

func (o *Observer) configMapKey(ctx context.Context, namespace, name, item string) check.Read[[]byte] {
	needs := right("get", "", "configmaps", namespace)
	m, err := o.kube.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return read[[]byte](nil, err, needs)
	}
	return read([]byte(m.Data[item]), nil, needs)
}

func (o *Observer) secretKey(ctx context.Context, namespace, name, item string) check.Read[[]byte] {
	needs := right("get", "", "secrets", namespace)
	secret, err := o.kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return read[[]byte](nil, err, needs)
	}
	return read(secret.Data[item], nil, needs)
}
