//go:build unix

package kubebin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const lockRetry = 200 * time.Millisecond

// lock takes an advisory lock on a file. The kernel drops it when the process ends, however it ends.
func lock(ctx context.Context, path string, onWait func()) (unlock func() error, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the build lock: %w", err)
	}
	tick := time.NewTicker(lockRetry)
	defer tick.Stop()
	for waited := false; ; waited = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("take the build lock: %w", err), file.Close())
		}
		if !waited {
			onWait()
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for the build lock: %w", ctx.Err()), file.Close())
		case <-tick.C:
		}
	}
}
