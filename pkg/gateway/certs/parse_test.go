package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pki "github.com/linkspan/linkspan/test/certs"
)

// world is what the cases below are made of.
type world struct {
	pki.PKI
	anchor, other, issuer *pki.Authority
	now                   time.Time
}

func newWorld(t *testing.T) world {
	t.Helper()
	made := pki.For(t)
	anchor := made.Anchor("root")
	return world{PKI: made, anchor: anchor, other: made.Anchor("other"), issuer: made.Issuer(anchor, "east"), now: time.Now()}
}

func (w world) good(opts ...pki.Option) pki.Files {
	return w.Files(w.Leaf(w.issuer, gatewayName, opts...), w.anchor)
}

func under(w world, issuer *pki.Authority) pki.Files {
	return w.Files(w.Leaf(issuer, gatewayName), w.anchor)
}

// All or nothing; what is refused names the file and the mend (GW-10, CERT-13, CERT-15).
func TestFilesAreRefusedWithTheFileAndTheMend(t *testing.T) {
	t.Parallel()
	const cert, key, anchors = "/etc/gw/tls.crt", "/etc/gw/tls.key", "/etc/gw/ca.crt"
	hour := time.Hour
	for name, c := range map[string]struct {
		files    func(w world) pki.Files
		identity string
		want     []string
	}{
		"the key belongs to another certificate": {
			files: func(w world) pki.Files { f := w.good(); f.Key = w.good().Key; return f },
			want:  []string{key, cert, "issued together"},
		},
		"the certificate has expired": {
			files: func(w world) pki.Files { return w.good(pki.NotAfter(w.now.Add(-time.Minute))) },
			want:  []string{cert, "expired at", "renew it"},
		},
		"the certificate is not valid yet": {
			files: func(w world) pki.Files { return w.good(pki.NotBefore(w.now.Add(hour))) },
			want:  []string{cert, "not valid before", "clock"},
		},
		"the issuer has expired": {
			files: func(w world) pki.Files {
				return under(w, w.Issuer(w.anchor, "old", pki.NotAfter(w.now.Add(-time.Minute))))
			},
			want: []string{cert, `"old"`, "expired at"},
		},
		"the only anchor has expired": {
			files: func(w world) pki.Files {
				f := w.good()
				f.Anchors = w.Anchor("past", pki.NotAfter(w.now.Add(-hour))).CertPEM()
				return f
			},
			want: []string{anchors, `"past"`, "expired at"},
		},
		"the anchor of the chain has expired, another one has not": {
			files: func(w world) pki.Files {
				past := w.Anchor("past", pki.NotAfter(w.now.Add(-time.Minute)))
				return w.Files(w.Leaf(w.Issuer(past, "east"), gatewayName), past, w.other)
			},
			want: []string{`"past"`, "expired at"},
		},
		"the identity is another one": {
			files: func(w world) pki.Files { return w.good() }, identity: otherName,
			want: []string{cert, `"` + gatewayName + `"`, `"` + otherName + `"`, "--identity"},
		},
		"the identity is covered by a wildcard only": {
			files:    func(w world) pki.Files { return w.good(pki.DNSNames("a.example", "*.example")) },
			identity: "b.example", want: []string{cert, "b.example"},
		},
		"there is no DNS SAN": {
			files: func(w world) pki.Files { return w.good(pki.DNSNames()) }, want: []string{cert, "DNS SAN"},
		},
		"the chain leads to another anchor": {
			files: func(w world) pki.Files { f := w.good(); f.Anchors = w.other.CertPEM(); return f },
			want:  []string{cert, anchors, `"east"`, "add its anchor"},
		},
		"the issuer is missing": {
			files: func(w world) pki.Files { f := w.good(); f.Cert = firstBlock(f.Cert); return f },
			want:  []string{cert, `"east"`, "append the certificates of its issuers"},
		},
		"the issuer comes first": {
			files: func(w world) pki.Files {
				f := w.good()
				f.Cert = append(bytes.Clone(w.issuer.CertPEM()), f.Cert...)
				return f
			},
			want: []string{cert, `"east"`, "put the gateway's own certificate first"},
		},
		"the anchors file is empty": {
			files: func(w world) pki.Files { f := w.good(); f.Anchors = nil; return f },
			want:  []string{anchors, "no PEM", "BEGIN CERTIFICATE"},
		},
		"the anchors file holds a key": {
			files: func(w world) pki.Files { f := w.good(); f.Anchors = f.Key; return f },
			want:  []string{anchors, "no certificate", `"PRIVATE KEY"`},
		},
		"an anchor is the certificate of a workload": {
			files: func(w world) pki.Files { f := w.good(); f.Anchors = firstBlock(f.Cert); return f },
			want:  []string{anchors, "no authority"},
		},
		"the certificate is not PEM": {
			files: func(w world) pki.Files { f := w.good(); f.Cert = []byte("hello"); return f },
			want:  []string{cert, "no PEM"},
		},
		"the certificate is damaged": {
			files: func(w world) pki.Files { f := w.good(); f.Cert = block("CERTIFICATE", "hello"); return f },
			want:  []string{cert, "cannot be read"},
		},
		"the key is a certificate": {
			files: func(w world) pki.Files { f := w.good(); f.Key = f.Cert; return f },
			want:  []string{key, "no key", `"CERTIFICATE"`},
		},
		"the key is not PEM": {
			files: func(w world) pki.Files { f := w.good(); f.Key = []byte("hello"); return f },
			want:  []string{key, "BEGIN PRIVATE KEY"},
		},
		"the key is damaged": {
			files: func(w world) pki.Files { f := w.good(); f.Key = block("PRIVATE KEY", "hello"); return f },
			want:  []string{key, "cannot be read"},
		},
		"the key is encrypted": {
			files: func(w world) pki.Files { f := w.good(); f.Key = block("ENCRYPTED PRIVATE KEY", "x"); return f },
			want:  []string{key, "encrypted", "passphrase"},
		},
		"the key is encrypted in the old way": {
			files: func(w world) pki.Files {
				f := w.good()
				f.Key = pem.EncodeToMemory(&pem.Block{
					Type: "EC PRIVATE KEY", Bytes: []byte("x"),
					Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"},
				})
				return f
			},
			want: []string{key, "encrypted", "passphrase"},
		},
		"the certificate is for servers only": {
			files: func(w world) pki.Files { return w.good(pki.ExtKeyUsage(x509.ExtKeyUsageServerAuth)) },
			want:  []string{cert, "client auth"},
		},
		"the certificate is for clients only": {
			files: func(w world) pki.Files { return w.good(pki.ExtKeyUsage(x509.ExtKeyUsageClientAuth)) },
			want:  []string{cert, "server auth"},
		},
		"the certificate may not sign": {
			files: func(w world) pki.Files { return w.good(pki.KeyUsage(x509.KeyUsageKeyEncipherment)) },
			want:  []string{cert, "digital signature"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			made := c.files(w)
			m, err := parse(files{made.Cert, made.Key, made.Anchors},
				Options{CertFile: cert, KeyFile: key, AnchorsFile: anchors, Identity: c.identity}, w.now)
			if err == nil {
				t.Fatalf("accepted as %s", m.identity)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v\nwant it to name %s", err, want)
				}
			}
		})
	}
}

func TestFilesThatAreAccepted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files    func(w world) pki.Files
		identity string
		want     string
		remarks  int
	}{
		"a leaf, its issuer and its anchor": {files: func(w world) pki.Files { return w.good() }, want: gatewayName},
		"several anchors (CERT-1)": {
			files: func(w world) pki.Files { f := w.good(); f.Anchors = pki.Bundle(w.other, w.anchor); return f },
			want:  gatewayName,
		},
		"an expired anchor beside a valid one": {
			files: func(w world) pki.Files {
				f := w.good()
				f.Anchors = pki.Bundle(w.Anchor("past", pki.NotAfter(w.now.Add(-time.Minute))), w.anchor)
				return f
			},
			want: gatewayName, remarks: 1,
		},
		"a leaf that the anchor itself signed": {
			files: func(w world) pki.Files { return w.Files(w.Leaf(w.anchor, gatewayName), w.anchor) }, want: gatewayName,
		},
		"an issuer that is trusted as an anchor": {
			files: func(w world) pki.Files { f := w.good(); f.Anchors = w.issuer.CertPEM(); return f }, want: gatewayName,
		},
		"no extended key usage, which means any": {
			files: func(w world) pki.Files { return w.good(pki.ExtKeyUsage()) }, want: gatewayName,
		},
		"the identity in capitals": {
			files: func(w world) pki.Files { return w.good(pki.DNSNames("GW.Example")) }, identity: "gw.EXAMPLE", want: "gw.example",
		},
		"an identity that is not the first name": {
			files: func(w world) pki.Files { return w.good(pki.DNSNames("a.example", "b.example")) }, identity: "b.example",
			want: "b.example", remarks: 1,
		},
		"text around the PEM": {
			files: func(w world) pki.Files {
				f := w.good()
				f.Cert = append([]byte("Subject: somebody\n"), f.Cert...)
				return f
			},
			want: gatewayName,
		},
		"key and certificate in one file": {
			files: func(w world) pki.Files {
				f := w.good()
				f.Cert = append(bytes.Clone(f.Key), f.Cert...)
				return f
			},
			want: gatewayName,
		},
		"a key with its parameters in front": {
			files: func(w world) pki.Files {
				f := w.good()
				f.Key = append(block("EC PARAMETERS", "x"), f.Key...)
				return f
			},
			want: gatewayName,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			made := c.files(w)
			m, err := parse(files{made.Cert, made.Key, made.Anchors}, Options{Identity: c.identity}, w.now)
			if err != nil {
				t.Fatal(err)
			}
			if m.identity != c.want || len(m.remarks) != c.remarks {
				t.Errorf("identity %s, remarks %q", m.identity, m.remarks)
			}
		})
	}
}

// An error of the same fault is the same text at any time, so that it is logged once.
func TestRefusalsSayTheSameAllTheTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.good(pki.NotAfter(w.now))
	for _, later := range []time.Duration{time.Minute, time.Hour} {
		_, err := parse(files{made.Cert, made.Key, made.Anchors}, Options{}, w.now.Add(later))
		if err == nil || !strings.Contains(err.Error(), w.now.UTC().Format(time.RFC3339)) || strings.Contains(err.Error(), "ago") {
			t.Errorf("error = %v", err)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"it is not there": filepath.Join(dir, "missing"), "it is a folder": dir, "it is far too big": big,
	} {
		_, err := Options{CertFile: path, KeyFile: path, AnchorsFile: path, prefix: "probe-"}.read()
		if err == nil || !strings.Contains(err.Error(), path) || !strings.HasPrefix(err.Error(), "--probe-tls-cert: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func firstBlock(data []byte) []byte {
	first, _ := pem.Decode(data)
	return pem.EncodeToMemory(first)
}

func block(kind, data string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(data)})
}

// Whatever is in the files, parse returns, and what it accepts can be used.
func FuzzParse(f *testing.F) {
	anchor, err := pki.Anchor("root")
	if err != nil {
		f.Fatal(err)
	}
	leaf, err := anchor.Leaf(gatewayName, pki.NotAfter(time.Now().Add(24*365*time.Hour)))
	if err != nil {
		f.Fatal(err)
	}
	good, err := leaf.Files(anchor)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Cert, good.Key, good.Anchors)
	f.Add(good.Anchors, good.Key, good.Cert)
	f.Add(good.Key, good.Cert, []byte{})
	f.Add(block("CERTIFICATE", ""), block("EC PRIVATE KEY", "0"), block("X", "y"))
	now := time.Now()
	f.Fuzz(func(t *testing.T, cert, key, anchors []byte) {
		m, err := parse(files{cert, key, anchors}, Options{}, now)
		if err != nil {
			return
		}
		if m.identity == "" || m.identity != strings.ToLower(m.identity) || len(m.chain) == 0 || m.pair.Leaf == nil {
			t.Errorf("accepted %+v", m)
		}
		if !m.inForce(m.chain[len(m.chain)-1], now) {
			t.Error("accepted a chain that ends in no anchor")
		}
	})
}
