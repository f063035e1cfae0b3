package v1alpha3

import _ "embed"

//go:embed crd/multicluster.linkerd.io_links.yaml
var crd string

// CRD is the CustomResourceDefinition of Link, as YAML. Each call gives its own copy.
func CRD() []byte { return []byte(crd) }
