//go:build unix && !linux

package rig

import "errors"

// Silence needs Linux.
func Silence(string) (restore func() error, err error) {
	return nil, errors.New("silencing an address needs Linux")
}
