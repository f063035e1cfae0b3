package network

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ip runs lines of iproute2's commands, all or up to the first that fails, in the namespace of the calling thread.
func ip(lines ...string) error {
	return run(strings.Join(lines, "\n")+"\n", "ip", "-batch", "-")
}

// nft changes packet filters, all or nothing, in the namespace of the calling thread.
func nft(rules string) error {
	return run(rules, "nft", "-f", "-")
}

func run(input, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s\n%s", name, err, strings.TrimSpace(said.String()), input)
	}
	return nil
}

// set writes settings below /proc/sys/net, whose files are those of the calling thread's namespace.
func set(settings map[string]string) error {
	for name, value := range settings {
		if err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0); err != nil {
			return fmt.Errorf("set net.%s: %w", strings.ReplaceAll(name, "/", "."), err)
		}
	}
	return nil
}

// routing makes a namespace a router that believes what it is told: replies may take another way than requests.
func routing() error {
	return set(map[string]string{
		"ipv4/ip_forward":                  "1",
		"ipv4/conf/all/rp_filter":          "0",
		"ipv4/conf/default/rp_filter":      "0",
		"ipv4/conf/all/send_redirects":     "0",
		"ipv4/conf/default/send_redirects": "0",
	})
}
