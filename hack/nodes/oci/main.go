// Command oci runs the runc beside it, after it has taken the system call filter out of the container's settings: this
// runc is built without libseccomp, which is C, and refuses containers that ask for a filter, as most do.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "oci:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if at := slices.Index(args, "--bundle"); at > 0 && at+1 < len(args) {
		if err := strip(filepath.Join(args[at+1], "config.json")); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	program := filepath.Join(filepath.Dir(self), "runc")
	if err := syscall.Exec(program, append([]string{program}, args[1:]...), os.Environ()); err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	return nil
}

// strip leaves everything else in the settings as it is, letter by letter.
func strip(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the container's settings: %w", err)
	}
	var settings, linux map[string]json.RawMessage
	if err := json.Unmarshal(text, &settings); err != nil {
		return fmt.Errorf("read the container's settings: %w", err)
	}
	if err := json.Unmarshal(settings["linux"], &linux); err != nil {
		return fmt.Errorf("read the container's settings for Linux: %w", err)
	}
	delete(linux, "seccomp")
	if settings["linux"], err = json.Marshal(linux); err != nil {
		return fmt.Errorf("change the container's settings: %w", err)
	}
	if text, err = json.Marshal(settings); err != nil {
		return fmt.Errorf("change the container's settings: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("change the container's settings: %w", err)
	}
	return nil
}
