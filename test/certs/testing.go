package certs

import "testing"

// PKI makes certificates for a test, which ends when one cannot be made.
type PKI struct{ t testing.TB }

// For gives the constructors to a test.
func For(t testing.TB) PKI { return PKI{t: t} }

// Anchor makes a trust anchor.
func (p PKI) Anchor(name string, opts ...Option) *Authority {
	p.t.Helper()
	anchor, err := Anchor(name, opts...)
	p.check(err)
	return anchor
}

// Issuer makes an issuer under an anchor.
func (p PKI) Issuer(anchor *Authority, cluster string, opts ...Option) *Authority {
	p.t.Helper()
	issuer, err := anchor.Issuer(cluster, opts...)
	p.check(err)
	return issuer
}

// Leaf makes the certificate of a workload.
func (p PKI) Leaf(issuer *Authority, identity string, opts ...Option) *Leaf {
	p.t.Helper()
	leaf, err := issuer.Leaf(identity, opts...)
	p.check(err)
	return leaf
}

// Files gives the leaf's files, with these anchors to trust.
func (p PKI) Files(leaf *Leaf, anchors ...*Authority) Files {
	p.t.Helper()
	files, err := leaf.Files(anchors...)
	p.check(err)
	return files
}

// Dir writes files into a new folder and gives its path.
func (p PKI) Dir(files Files) string {
	p.t.Helper()
	dir := p.t.TempDir()
	p.Write(files, dir)
	return dir
}

// Write writes files into a folder, as plain files.
func (p PKI) Write(files Files, dir string) {
	p.t.Helper()
	p.check(files.Write(dir))
}

// Project writes files into a folder, as the kubelet does.
func (p PKI) Project(files Files, dir string) {
	p.t.Helper()
	p.check(files.Project(dir))
}

func (p PKI) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}
