//go:build !linux

package main

import (
	"fmt"
	"os"

	"github.com/linkspan/linkspan/test/nodes"
)

func main() {
	fmt.Fprintln(os.Stderr, "show:", nodes.Supported())
	os.Exit(1)
}
