//go:build linux

package nodes_test

import (
	"os"
	"testing"

	"github.com/linkspan/linkspan/test/nodes"
)

func TestMain(m *testing.M) { os.Exit(nodes.Main(m)) }
