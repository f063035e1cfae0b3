//go:build !linux

package socket

import "net"

// Sound knows nothing here: TCP's own patience decides.
func Sound(net.Conn) (heard Sounding, ok bool) { return Sounding{}, false }
