//go:build unix && !linux

package nodes

import "errors"

// Missing tells what this machine lacks to run nodes.
func Missing() []string { return []string{"Linux"} }

// Supported is Missing as an error.
func Supported() error {
	return errors.New("this machine cannot run Kubernetes nodes: they need Linux")
}
