package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/test/app/serve"
	"github.com/linkspan/linkspan/test/app/talk"
	"github.com/linkspan/linkspan/test/app/traffic"
	"github.com/linkspan/linkspan/test/app/vote"
)

// defaultListen is the port of everything that speaks HTTP.
const defaultListen = ":8080"

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := group("app", "The sample application, and what scenarios need in pods",
		newWeb(), newEmoji(), newVoting(), newTraffic(), newUDP(), newGreets(), newGRPC(), newBlob(), newFetch(), newResolve(), newSleep())
	root.Version = version
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root
}

// group is a command that does nothing but have others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: arguments.Command,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(below...)
	return cmd
}

// server makes the command of a server. begin is run once the flags are right.
func server(name, short string, o *serve.Options, begin func(*cobra.Command) error, checks ...func() error) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Args: arguments.None}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, check := range append(checks, o.Validate) {
			if err := check(); err != nil {
				return err
			}
		}
		o.Name, o.Out = cmd.CommandPath(), cmd.ErrOrStderr()
		return begin(cmd)
	}
	return cmd
}

func newWeb() *cobra.Command {
	var o serve.Options
	var web vote.WebOptions
	cmd := server("web", "The front: / is a page, /vote?choice=joy votes", &o, func(cmd *cobra.Command) error {
		front := vote.NewWeb(web)
		defer front.Close()
		return serve.HTTP(cmd.Context(), o, nil, front.Handler())
	}, func() error { return web.Validate() })
	o.Bind(cmd.Flags(), defaultListen)
	web.Bind(cmd.Flags())
	return cmd
}

func newEmoji() *cobra.Command {
	var o serve.Options
	cmd := server("emoji", "The backend that knows what can be voted for: /emojis, /emojis/joy", &o, func(cmd *cobra.Command) error {
		return serve.HTTP(cmd.Context(), o, nil, vote.EmojiHandler())
	})
	o.Bind(cmd.Flags(), defaultListen)
	return cmd
}

func newVoting() *cobra.Command {
	var o serve.Options
	var peers string
	cmd := server("voting", "The backend that counts: /vote?id=1&choice=joy, /results", &o, func(cmd *cobra.Command) error {
		return serveVoting(cmd.Context(), o, peers)
	})
	o.Bind(cmd.Flags(), defaultListen)
	cmd.Flags().StringVar(&peers, "peers", "",
		"name and port whose addresses are those of all instances, such as voting-peers:8080; they share what they count. None when empty")
	return cmd
}

func serveVoting(ctx context.Context, o serve.Options, peers string) error {
	box := vote.NewBox(o.Pod, fmt.Sprintf("%d-%s", time.Now().UnixNano(), o.Pod))
	if peers == "" {
		return serve.HTTP(ctx, o, nil, vote.VotingHandler(box, nil))
	}
	others, err := vote.NewPeers(box, peers)
	if err != nil {
		return err
	}
	// The others are asked for as long as votes are taken, which is longer than the context.
	asking, stop := context.WithCancel(context.WithoutCancel(ctx))
	var both errgroup.Group
	both.Go(func() error {
		others.Run(asking, func(what string) { _, _ = fmt.Fprintln(o.Out, o.Name+":", what) })
		return nil
	})
	both.Go(func() error {
		defer stop()
		return serve.HTTP(ctx, o, others.Ready, vote.VotingHandler(box, others))
	})
	return both.Wait()
}

func newTraffic() *cobra.Command {
	var o serve.Options
	var sent traffic.Options
	cmd := server("traffic", "Vote at a steady rate and measure: /report, /votes, /mark?name=…, POST /reset", &o, func(cmd *cobra.Command) error {
		return meter(cmd.Context(), o, sent)
	}, func() error { return sent.Validate() })
	o.Bind(cmd.Flags(), defaultListen)
	sent.Bind(cmd.Flags())
	return cmd
}

func meter(ctx context.Context, o serve.Options, sent traffic.Options) error {
	m := traffic.NewMeter()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { traffic.NewSender(sent, m).Run(ctx); return nil })
	both.Go(func() error { return serve.HTTP(ctx, o, nil, traffic.Handler(sent, m)) })
	return both.Wait()
}

func newBlob() *cobra.Command {
	var o serve.Options
	serving := server("serve", "Serve /blob?bytes=…, and take PUT /blob", &o, func(cmd *cobra.Command) error {
		return serve.HTTP(cmd.Context(), o, nil, talk.BlobHandler())
	})
	o.Bind(serving.Flags(), defaultListen)
	return group("blob", "Large transfers over HTTP, with a SHA-256", serving, newBlobCall())
}
