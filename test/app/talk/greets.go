package talk

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/linkspan/linkspan/test/app/origin"
)

// banner is what the server says before anything is asked.
const banner = "220 welcome to "

// Greet serves a connection: it speaks first, and echoes line by line until the client has said all.
func Greet(by origin.Identity) func(net.Conn) error {
	return func(conn net.Conn) error {
		if _, err := fmt.Fprintf(conn, "%s%s/%s\n", banner, by.Cluster, by.Pod); err != nil {
			return fmt.Errorf("greeting: %w", err)
		}
		if _, err := io.Copy(conn, conn); err != nil {
			return fmt.Errorf("echoing: %w", err)
		}
		return nil
	}
}

// Greeting says what the client of a server that speaks first does.
type Greeting struct {
	Address string
	// Patience is for the whole conversation.
	Patience time.Duration
	// Lines are sent once the server has spoken, each when the one before is back.
	Lines int
}

// GreetingResult is what came of it.
type GreetingResult struct {
	// By is who greeted, as cluster/pod.
	By string `json:"by"`
	// Banner is after how many milliseconds, from the begin of connecting, the server had spoken.
	Banner float64 `json:"bannerMilliseconds"`
	// Echoed are the lines that came back.
	Echoed int `json:"echoed"`
}

// Call connects, says nothing until it has been greeted, and has lines echoed.
func (g Greeting) Call(ctx context.Context) (result GreetingResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.Patience)
	defer cancel()
	began := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", g.Address)
	if err != nil {
		return result, fmt.Errorf("connecting to %s: %w", g.Address, err)
	}
	defer func() { _ = conn.Close() }() // its end has been seen
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	from := bufio.NewReader(conn)
	line, err := from.ReadString('\n')
	if err != nil {
		return result, fmt.Errorf("waiting to be greeted: %w", err)
	}
	by, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), banner)
	if !ok {
		return result, fmt.Errorf("greeted with %q, want %q and a name", line, banner)
	}
	result.By, result.Banner = by, float64(time.Since(began).Microseconds())/1000
	for ; result.Echoed < g.Lines; result.Echoed++ {
		if err := echoLine(conn, from, fmt.Sprintf("line %d\n", result.Echoed)); err != nil {
			return result, err
		}
	}
	return result, leave(conn, from)
}

func echoLine(to io.Writer, from *bufio.Reader, line string) error {
	if _, err := io.WriteString(to, line); err != nil {
		return fmt.Errorf("sending %q: %w", line, err)
	}
	got, err := from.ReadString('\n')
	if err != nil {
		return fmt.Errorf("waiting for %q to come back: %w", line, err)
	}
	if got != line {
		return fmt.Errorf("%q came back as %q", line, got)
	}
	return nil
}

// leave ends the client's direction, and wants the server to end its own.
func leave(conn net.Conn, from io.Reader) error {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.CloseWrite(); err != nil {
			return fmt.Errorf("ending: %w", err)
		}
	}
	rest, err := io.ReadAll(from)
	if err != nil {
		return fmt.Errorf("waiting for the server's end: %w", err)
	}
	if len(rest) > 0 {
		return fmt.Errorf("%q came after the last line", rest)
	}
	return nil
}
