module github.com/linkspan/linkspan/hack/nodes/oci

go 1.26.0
