package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/linkspan/linkspan/test/gatewaybench/load"
)

// clientPatience is how much longer than asked for the client may take. It ends a hang.
const clientPatience = 2 * time.Minute

// client is the process that makes the load.
type client struct {
	*process
	in      io.WriteCloser
	answers chan answer
}

type answer struct {
	result load.Result
	err    error
}

// startClient starts a client. Each section has its own.
func (b *bench) startClient(ctx context.Context, section string) (*client, error) {
	name := section + "-client"
	command, err := selfCommand(roleClient, name, b.world.file(name+".log"), nil, nil)
	if err != nil {
		return nil, err
	}
	c := &client{answers: make(chan answer)}
	var out io.Reader
	command.prepare = func(cmd *exec.Cmd) error {
		cmd.Stdout = nil // it has the answers
		var errIn, errOut error
		c.in, errIn = cmd.StdinPipe()
		out, errOut = cmd.StdoutPipe()
		return errors.Join(errIn, errOut)
	}
	if c.process, err = start(ctx, command); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.answers)
		for decoder := json.NewDecoder(out); ; {
			var a answer
			a.err = decoder.Decode(&a.result)
			select {
			case c.answers <- a:
			case <-c.done:
				return
			}
			if a.err != nil {
				return
			}
		}
	}()
	return c, nil
}

// do has one thing done, while all of a path runs. Failed requests are no error, but a result.
func (c *client) do(ctx context.Context, p *path, s load.Spec) (load.Result, error) {
	s.Address, s.PIDs = p.address, p.pids()
	ctx, cancel := whileRunning(ctx, append(p.processes(), c.process)...)
	defer cancel()
	ctx, expire := context.WithTimeout(ctx, s.Warm+s.Window+clientPatience)
	defer expire()
	if err := json.NewEncoder(c.in).Encode(s); err != nil {
		return load.Result{}, fmt.Errorf("telling the client what to do: %w", err)
	}
	select {
	case a := <-c.answers:
		if a.err == nil && a.result.Error != "" {
			a.err = errors.New(a.result.Error)
		}
		if a.err != nil {
			return a.result, fmt.Errorf("%s by %s: %w", s.Kind, p.way, a.err)
		}
		return a.result, nil
	case <-ctx.Done():
		return load.Result{}, fmt.Errorf("%s by %s: %w", s.Kind, p.way, context.Cause(ctx))
	}
}

// stop ends the client, which goes on until there is nothing more to read.
func (c *client) stop() error { return errors.Join(c.in.Close(), c.process.stop()) }
