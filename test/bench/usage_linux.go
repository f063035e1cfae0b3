package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of processor time in /proc, the same on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// childAttributes let the kernel end the controller when we are killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// readUsage asks the kernel what a process has used so far.
func readUsage(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("reading processor time: %w", err)
	}
	// The name, in brackets, may hold any character; user and system time are the 12th and 13th after it.
	fields := strings.Fields(string(stat[max(0, bytes.LastIndexByte(stat, ')')):]))
	if len(fields) < 14 {
		return u, fmt.Errorf("reading processor time: %q has too few fields", stat)
	}
	for _, field := range fields[12:14] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return u, fmt.Errorf("reading processor time: %w", err)
		}
		u.cpu += time.Duration(ticks) * clockTick
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, fmt.Errorf("reading memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*float64{"VmHWM": &u.peak, "VmRSS": &u.resident}[name]
		if into == nil {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
		if err != nil {
			return u, fmt.Errorf("reading memory: %w", err)
		}
		*into = kib / 1024
	}
	return u, nil
}
