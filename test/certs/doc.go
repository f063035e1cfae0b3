// Package certs makes the certificates that tests, the demo and the benchmarks use: anchors,
// issuers and leaves as Linkerd has them, and folders of files as Kubernetes mounts them.
//
// It owns the shape of these certificates and files. It must never be imported by what ships, make
// an RSA key, or use a random source other than crypto/rand. Constructors return errors; For wraps
// them for tests.
//
//	pki := certs.For(t)
//	anchor := pki.Anchor("root")
//	leaf := pki.Leaf(pki.Issuer(anchor, "east"), "linkerd-gateway.example")
//	dir := pki.Dir(pki.Files(leaf, anchor)) // holds tls.crt, tls.key and ca.crt
//
// All values are made once and never change, so they may be used by many goroutines. Writing to one
// folder is for one goroutine at a time; reading it meanwhile is what Project is for.
package certs
