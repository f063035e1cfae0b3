// Command images makes container images of mirror and gateway, without a container daemon or a registry:
//
//	make images VERSION=v1.2.3 NAME=example.org/linkspan
//
// writes dist/images/mirror-v1.2.3.tar and gateway-v1.2.3.tar, OCI archives for linux/amd64 and linux/arm64, with an SPDX
// bill of materials for each platform beside them, and prints a table of sizes and digests. The same source, with the same
// version of Go, makes the same bytes on every machine.
//
//	ctr --namespace k8s.io images import --all-platforms dist/images/mirror-v1.2.3.tar
//	skopeo copy --all oci-archive:dist/images/mirror-v1.2.3.tar docker://example.org/linkspan/mirror:v1.2.3
//
// It owns which programs have images, what these are called, and the files in the folder it is told to write to. What is
// in an image is package image's. It must never remove a file that it does not write itself.
package main
