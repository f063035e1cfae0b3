package exports

import (
	"os"
	"testing"

	"github.com/linkspan/linkspan/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
