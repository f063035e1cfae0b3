//go:build unix && !linux

package rig

import (
	"errors"
	"syscall"
)

func namespaceAttributes() []*syscall.SysProcAttr { return nil }

func setUpNetwork() error {
	return errors.New("network namespaces need Linux")
}
