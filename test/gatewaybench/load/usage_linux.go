package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of processor time in /proc, the same on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// ReadUsage asks the kernel what a process has used so far.
func ReadUsage(pid int) (Usage, error) {
	var u Usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("reading processor time: %w", err)
	}
	// The name, in brackets, may hold any character; user and system time are the 12th and 13th after it,
	// resident memory, in pages, is the 22nd.
	fields := strings.Fields(string(stat[max(0, bytes.LastIndexByte(stat, ')')):]))
	const user, system, resident = 12, 13, 22
	if len(fields) <= resident {
		return u, fmt.Errorf("reading processor time: %q has too few fields", stat)
	}
	var numbers [resident + 1]int64
	for _, i := range [...]int{user, system, resident} {
		if numbers[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return u, fmt.Errorf("reading processor time and memory: %w", err)
		}
	}
	u.CPU = time.Duration(numbers[user]+numbers[system]) * clockTick
	u.Resident = numbers[resident] * int64(os.Getpagesize())
	return u, nil
}
