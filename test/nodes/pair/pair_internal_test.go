//go:build linux

package pair

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/test/nodes"
)

// Ctrl-C ends what a script has started as well: helm and kubectl may wait for minutes.
func TestWhatAScriptStartedEndsWithIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := command(ctx, "sleep 600 & echo $!; wait")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}()
	var held bytes.Buffer // as in Run, where Wait waits for whoever holds the output
	cmd.Stdout, cmd.Stderr = writer, &held
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil { // the script has its own
		t.Fatal(err)
	}
	var sleeper int
	if _, err := fmt.Fscan(bufio.NewReader(reader), &sleeper); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Kill(sleeper, unix.SIGKILL) }() // it has ended where the test passes
	cancel()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	patience, stop := context.WithTimeout(t.Context(), 3*endPatience)
	defer stop()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the script has ended well")
		}
	case <-patience.Done():
		t.Fatal("the script's end is waited for in vain")
	}
	err = nodes.Await(patience, func(context.Context) error {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", sleeper)); err == nil && !bytes.Contains(stat, []byte(") Z ")) {
			return fmt.Errorf("process %d still runs", sleeper)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A user's first command may be one that starts clusters, with nothing in his module cache: what is built inside, where
// there is no network, must be there.
func TestModulesAreDownloadedBefore(t *testing.T) {
	proxy, module, modules := t.TempDir(), t.TempDir(), t.TempDir()
	versions := filepath.Join(proxy, "example.org/only/gateway/needs/@v")
	var archive bytes.Buffer
	out := zip.NewWriter(&archive)
	const needed = "module example.org/only/gateway/needs\n"
	for name, text := range map[string]string{"go.mod": needed, "needs.go": "package needs\n"} {
		file, err := out.Create("example.org/only/gateway/needs@v1.0.0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(versions, "v1.0.0.mod"):  needed,
		filepath.Join(versions, "v1.0.0.info"): `{"Version": "v1.0.0", "Time": "` + time.Unix(0, 0).UTC().Format(time.RFC3339) + `"}`,
		filepath.Join(versions, "v1.0.0.zip"):  archive.String(),
		filepath.Join(module, "go.mod"):        "module example.org/checkout\n\ngo 1.26\n\nrequire example.org/only/gateway/needs v1.0.0\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{
		"GOPROXY": "file://" + proxy, "GOMODCACHE": modules, "GOFLAGS": "-modcacherw", "GOSUMDB": "off", "GOWORK": "off", "GONOPROXY": "", "GOPRIVATE": "",
	} {
		t.Setenv(name, value)
	}
	if err := download(t.Context(), module); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "example.org/only/gateway/needs@v1.0.0/needs.go")); err != nil {
		t.Error(err)
	}
}
