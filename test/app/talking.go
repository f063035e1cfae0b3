package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/test/app/serve"
	"github.com/linkspan/linkspan/test/app/talk"
)

// Default ports of servers that do not speak plain HTTP.
const (
	defaultUDP    = ":9000"
	defaultGreets = ":9001"
	defaultGRPC   = ":9002"
)

// caller makes the command of a client, which prints what came of it, and then how it failed.
func caller(short string, check func() error, call func(context.Context) (any, error)) *cobra.Command {
	cmd := &cobra.Command{Use: "call", Short: short, Args: arguments.None}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := check(); err != nil {
			return err
		}
		result, err := call(cmd.Context())
		return errors.Join(err, printJSON(cmd.OutOrStdout(), result))
	}
	return cmd
}

func printJSON(to io.Writer, what any) error {
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(what); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	return nil
}

func newUDP() *cobra.Command {
	var o serve.Options
	serving := server("serve", "Answer each packet with who answers and what was in it", &o, func(cmd *cobra.Command) error {
		return serve.UDP(cmd.Context(), o, talk.Packet(o.Identity))
	})
	o.Bind(serving.Flags(), defaultUDP)
	o.BindReady(serving.Flags())
	var p talk.Packets
	call := caller("Send packets, each from a port of its own, and count the answers", func() error {
		return errors.Join(wantAddress("address", p.Address), wantMore("count", p.Count), wantMore("interval", p.Interval), wantMore("timeout", p.Patience))
	}, func(ctx context.Context) (any, error) { return p.Send(ctx) })
	call.Flags().StringVar(&p.Address, "address", "", "name or address of the server, and its port")
	call.Flags().IntVar(&p.Count, "count", 20, "how many packets to send")
	call.Flags().DurationVar(&p.Interval, "interval", 50*time.Millisecond, "time between two packets")
	call.Flags().DurationVar(&p.Patience, "timeout", 2*time.Second, "how long an answer may take")
	return group("echo-udp", "UDP", serving, call)
}

func newGreets() *cobra.Command {
	var o serve.Options
	serving := server("serve", "Speak first, then echo lines", &o, func(cmd *cobra.Command) error {
		return serve.TCP(cmd.Context(), o, talk.Greet(o.Identity))
	})
	o.Bind(serving.Flags(), defaultGreets)
	o.BindReady(serving.Flags())
	var g talk.Greeting
	call := caller("Wait to be greeted, then have lines echoed", func() error {
		return errors.Join(wantAddress("address", g.Address), wantMore("timeout", g.Patience))
	}, func(ctx context.Context) (any, error) { return g.Call(ctx) })
	call.Flags().StringVar(&g.Address, "address", "", "name or address of the server, and its port")
	call.Flags().IntVar(&g.Lines, "lines", 10, "how many lines to have echoed")
	call.Flags().DurationVar(&g.Patience, "timeout", 5*time.Second, "how long all of it may take")
	return group("greets-first", "A TCP server that speaks first", serving, call)
}

func newGRPC() *cobra.Command {
	var o serve.Options
	serving := server("serve", "Echo the messages of a bidirectional stream; /ready is at the same port", &o, func(cmd *cobra.Command) error {
		return serve.HTTP(cmd.Context(), o, nil, talk.GRPCHandler())
	})
	o.Bind(serving.Flags(), defaultGRPC)
	var s talk.Stream
	call := caller("Hold a stream, send on it all the time, and tell where nothing came back", func() error {
		return errors.Join(wantURL("url", s.URL), wantMore("for", s.Hold), wantMore("interval", s.Interval), wantMore("timeout", s.Patience))
	}, func(ctx context.Context) (any, error) { return s.Run(ctx) })
	call.Flags().StringVar(&s.URL, "url", "", "URL of the server, such as http://grpc-svc:9002")
	call.Flags().DurationVar(&s.Hold, "for", 10*time.Second, "how long to hold the stream")
	call.Flags().DurationVar(&s.Interval, "interval", 100*time.Millisecond, "time between two messages")
	call.Flags().DurationVar(&s.Patience, "timeout", 5*time.Second, "how long the begin, and the end, may take")
	return group("grpc", "A gRPC stream in both directions", serving, call)
}

func newBlobCall() *cobra.Command {
	var t talk.Transfer
	call := caller("Download or upload, and check what arrives", func() error {
		return errors.Join(wantURL("url", t.URL), wantMore("bytes", t.Bytes), wantMore("timeout", t.Patience))
	}, func(ctx context.Context) (any, error) { return t.Run(ctx) })
	call.Flags().StringVar(&t.URL, "url", "", "URL of the server, such as http://blob-svc:8080")
	call.Flags().Int64Var(&t.Bytes, "bytes", 100_000_000, "how many bytes to move")
	call.Flags().BoolVar(&t.Up, "upload", false, "upload instead of download")
	call.Flags().DurationVar(&t.Patience, "timeout", 2*time.Minute, "how long it may take")
	return call
}

func wantAddress(flag, text string) error {
	if _, _, err := net.SplitHostPort(text); err != nil {
		return fmt.Errorf("--%s is %q, must be a name or an address and a port, such as udp-svc:9000", flag, text)
	}
	return nil
}

func wantURL(flag, text string) error {
	if u, err := url.Parse(text); err != nil || u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("--%s is %q, must be a URL such as http://blob-svc:8080", flag, text)
	}
	return nil
}

func wantMore[T int | int64 | time.Duration](flag string, value T) error {
	if value <= 0 {
		return fmt.Errorf("--%s is %v, must be more than zero", flag, value)
	}
	return nil
}
