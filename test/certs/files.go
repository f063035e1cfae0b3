package certs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Names of the files, as in a Secret of type kubernetes.io/tls (CERT-9).
const (
	CertFile    = "tls.crt"
	KeyFile     = "tls.key"
	AnchorsFile = "ca.crt"
)

// Names that the kubelet uses in a mounted Secret or ConfigMap.
const (
	dataLink    = "..data"
	dataLinkNew = "..data_tmp"
)

// Files are the contents of what a gateway is started with.
type Files struct {
	Cert    []byte // leaf, then issuer
	Key     []byte
	Anchors []byte
}

// Files gives the leaf's files, with these anchors to trust.
func (l *Leaf) Files(anchors ...*Authority) (Files, error) {
	key, err := l.KeyPEM()
	if err != nil {
		return Files{}, err
	}
	return Files{Cert: l.ChainPEM(), Key: key, Anchors: Bundle(anchors...)}, nil
}

func (f Files) contents() map[string][]byte {
	return map[string][]byte{CertFile: f.Cert, KeyFile: f.Key, AnchorsFile: f.Anchors}
}

// Write puts the files into dir, which is made if need be. Each file is replaced whole, but for a
// moment new ones are beside old ones.
func (f Files) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of the certificates: %w", err)
	}
	for name, data := range f.contents() {
		if err := replace(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
	return nil
}

func replace(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("writing a certificate file: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("replacing a certificate file: %w", err)
	}
	return nil
}

// Project puts the files into dir as the kubelet mounts a Secret: each name is a link into ..data,
// which is a link to a folder of its own for each version. The swap of ..data changes all files at
// once, and none of them has a new modification time by its own name.
func (f Files) Project(dir string) error {
	version := "..version_" + rand.Text()
	if err := f.Write(filepath.Join(dir, version)); err != nil {
		return err
	}
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for the version in place: %w", err)
	}
	if err := os.Symlink(version, filepath.Join(dir, dataLinkNew)); err != nil {
		return fmt.Errorf("linking the new version: %w", err)
	}
	if err := os.Rename(filepath.Join(dir, dataLinkNew), filepath.Join(dir, dataLink)); err != nil {
		return fmt.Errorf("swapping the version: %w", err)
	}
	for name := range f.contents() {
		err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("linking a file: %w", err)
		}
	}
	if old == "" {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
		return fmt.Errorf("removing the old version: %w", err)
	}
	return nil
}
