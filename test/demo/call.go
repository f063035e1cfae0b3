package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// call is a connection that a client keeps open after an answer.
type call struct{ conn net.Conn }

// newCall connects to an address and has one request answered.
func newCall(ctx context.Context, address, want string) (*call, error) {
	limited, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(limited, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open a connection that stays: %w", err)
	}
	c := &call{conn: conn}
	answer, err := c.ask(limited)
	if err == nil && answer != want {
		err = fmt.Errorf("%s answers %q, expected %q", address, answer, want)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *call) ask(ctx context.Context) (string, error) {
	if err := c.within(ctx); err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.conn.RemoteAddr().String()+"/", nil)
	if err != nil {
		return "", err
	}
	if err := request.Write(c.conn); err != nil {
		return "", fmt.Errorf("ask over a connection that stays: %w", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c.conn), request)
	if err != nil {
		return "", fmt.Errorf("ask over a connection that stays: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	return string(text), err
}

// awaitCut waits until the connection is reset, and says when that was. Closing it well would not do: a
// client must not take what was cut for complete.
func (c *call) awaitCut(ctx context.Context) (time.Time, error) {
	limited, cancel := context.WithTimeout(ctx, waitPatience)
	defer cancel()
	if err := c.within(limited); err != nil {
		return time.Time{}, err
	}
	defer context.AfterFunc(ctx, func() { _ = c.conn.Close() })() // what is read then fails, which is all it is for
	_, err := c.conn.Read(make([]byte, 1))
	if !errors.Is(err, syscall.ECONNRESET) {
		return time.Time{}, fmt.Errorf("the open connection ends with %w, expected it to be reset", ended(err))
	}
	return time.Now(), nil
}

// within puts the deadline of a context on the connection.
func (c *call) within(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		return errors.New("a connection that stays needs a deadline")
	}
	return c.conn.SetDeadline(deadline)
}
