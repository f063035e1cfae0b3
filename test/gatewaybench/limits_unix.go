//go:build unix

package main

import "syscall"

// wantedFiles is what ten thousand streams need of a proxy that has two sockets for each, twice.
const wantedFiles = 65_536

// raiseFiles raises the limit of open files, which children inherit, as far as may be, and gives it.
func raiseFiles() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	raised := syscall.Rlimit{Cur: max(limit.Max, wantedFiles), Max: max(limit.Max, wantedFiles)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		return int(min(raised.Cur, 1<<30)), nil
	}
	limit.Cur = limit.Max // only root may go beyond
	return int(min(limit.Cur, 1<<30)), syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
