package load

import "time"

// Usage is what a process uses.
type Usage struct {
	// CPU is processor time since the process began, of it and of the kernel for it.
	CPU time.Duration
	// Resident is memory, in bytes.
	Resident int64
}
