package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/linkspan/linkspan/test/certs"
)

// Which cluster's issuer signs.
const (
	inWest = "west"
	inEast = "east"
)

// keys are the certificates of a world: an issuer for each cluster, under one anchor or several (CERT-1, CERT-3).
type keys struct {
	world   *world
	make    certs.PKI
	anchors []*certs.Authority // what everybody trusts
	issuers map[string]*certs.Authority
	mounts  []*mount
}

// mount is a folder of certificate files, as the kubelet mounts a Secret.
type mount struct {
	dir, cluster, account string
	leaf                  *certs.Leaf
}

func (m *mount) path(file string) string { return filepath.Join(m.dir, file) }

func newKeys(t *testing.T, w *world) *keys {
	t.Helper()
	k := &keys{world: w, make: certs.For(t), issuers: map[string]*certs.Authority{}}
	anchor := k.make.Anchor("root.linkerd.cluster.local")
	k.anchors = []*certs.Authority{anchor}
	k.newIssuers(anchor)
	return k
}

// newIssuers gives each cluster an issuer under an anchor.
func (k *keys) newIssuers(anchor *certs.Authority) {
	for _, cluster := range []string{inWest, inEast} {
		k.issuers[cluster] = k.make.Issuer(anchor, "identity.linkerd.cluster.local of "+cluster)
	}
}

// mount makes a folder with the certificate of an account.
func (k *keys) mount(t *testing.T, cluster, account string) *mount {
	t.Helper()
	m := &mount{dir: k.world.file(fmt.Sprintf("tls-%d", len(k.mounts))), cluster: cluster, account: account}
	k.issue(m)
	k.project(m)
	k.mounts = append(k.mounts, m)
	return m
}

// issue makes a new certificate. It is not in the folder yet.
func (k *keys) issue(m *mount) {
	m.leaf = k.make.Leaf(k.issuers[m.cluster], k.world.identity(m.account))
}

// project swaps the files for what is to be there now.
func (k *keys) project(m *mount) { k.make.Project(k.make.Files(m.leaf, k.anchors...), m.dir) }
