package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/linkspan/linkspan/test/certs"
)

// makeAll makes the whole folder and says what is in it.
func makeAll(o options) ([]string, error) {
	if err := claim(o.out); err != nil {
		return nil, err
	}
	until := time.Now().Add(o.lifetime)
	anchor, err := certs.Anchor("root.linkerd."+o.trustDomain, certs.NotAfter(until))
	if err != nil {
		return nil, err
	}
	made, err := writeAnchor(o, anchor)
	if err != nil {
		return nil, err
	}
	for _, g := range o.gateways {
		files, err := issue(anchor, g, o.trustDomain, until)
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(o.out, g.cluster)
		if err := files.Write(dir); err != nil {
			return nil, err
		}
		made = append(made, fmt.Sprintf("%s: certificate, key and anchor of %s, valid until %s", dir, g.identity, until.UTC().Format(time.RFC3339)))
	}
	return made, nil
}

// claim makes the folder, or takes an empty one.
func claim(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking into -out: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty, and nothing is overwritten: remove it, or give another -out", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making -out: %w", err)
	}
	return nil
}

func writeAnchor(o options, anchor *certs.Authority) ([]string, error) {
	path := filepath.Join(o.out, certs.AnchorsFile)
	if err := os.WriteFile(path, anchor.CertPEM(), 0o600); err != nil {
		return nil, fmt.Errorf("writing the anchor: %w", err)
	}
	made := []string{path + ": the trust anchor " + anchor.Certificate.Subject.CommonName}
	if !o.anchorKey {
		return made, nil
	}
	key, err := anchor.KeyPEM()
	if err != nil {
		return nil, err
	}
	path = filepath.Join(o.out, "ca.key")
	if err := os.WriteFile(path, key, 0o600); err != nil {
		return nil, fmt.Errorf("writing the anchor's key: %w", err)
	}
	return append(made, path+": its key, which must never get into a cluster"), nil
}

// issue makes a cluster's issuer, which may sign for its gateway alone, and the gateway's certificate. The issuer's key
// is forgotten.
func issue(anchor *certs.Authority, g gateway, trustDomain string, until time.Time) (certs.Files, error) {
	issuer, err := anchor.Issuer("identity.linkerd."+trustDomain+" of "+g.cluster, certs.NotAfter(until), certs.OnlyFor(g.identity))
	if err != nil {
		return certs.Files{}, err
	}
	leaf, err := issuer.Leaf(g.identity, certs.NotAfter(until))
	if err != nil {
		return certs.Files{}, err
	}
	return leaf.Files(anchor)
}
