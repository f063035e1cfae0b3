module github.com/linkspan/linkspan/hack/nodes/pause

go 1.26.0
