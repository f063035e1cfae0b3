//go:build !linux

package tunnel

import "net"

func tune(net.Conn) {}

// sound knows nothing here: TCP's own patience decides.
func sound(net.Conn) (sounding, bool) { return sounding{}, false }

// quiet cannot be known here without waiting: a lane that has ended is noticed when it is used.
func quiet(net.Conn) bool { return true }
