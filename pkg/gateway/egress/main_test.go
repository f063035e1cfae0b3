package egress

import (
	"os"
	"testing"

	"github.com/linkspan/linkspan/test/rig"
)

// Main also fails when a goroutine is left over.
func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
