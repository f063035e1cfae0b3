//go:build unix && !linux

package rig

import (
	"errors"
	"syscall"
)

func namespaceAttributes() []*syscall.SysProcAttr { return nil }

func machineAttributes() []*syscall.SysProcAttr { return nil }

func beInit() (int, error) {
	return 0, errors.New("namespaces need Linux")
}

func setUpNetwork() error {
	return errors.New("network namespaces need Linux")
}
