package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/test/app/origin"
)

type fetching struct {
	method  string
	headers []string
	timeout time.Duration
	quiet   bool
}

func newFetch() *cobra.Command {
	var f fetching
	cmd := &cobra.Command{
		Use: "fetch URL", Short: "Send a request and print the answer: status, headers, body", Args: one("a URL", "http://web-svc:8080/"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), cmd.OutOrStdout(), args[0]) },
	}
	cmd.Flags().StringVarP(&f.method, "method", "X", http.MethodGet, "method of the request")
	cmd.Flags().StringArrayVarP(&f.headers, "header", "H", nil, "header of the request, such as 'Host: web'; may be given several times")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 5*time.Second, "how long the answer may take")
	cmd.Flags().BoolVarP(&f.quiet, "body", "b", false, "print the body alone")
	return cmd
}

// run prints the answer, and is an error when that is one.
func (f fetching) run(ctx context.Context, stdout io.Writer, url string) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, f.method, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("the URL %q or --method: %w", url, err)
	}
	for _, header := range f.headers {
		name, value, ok := strings.Cut(header, ":")
		if !ok {
			return fmt.Errorf("--header is %q, must be a name and a value, such as 'Host: web'", header)
		}
		request.Header.Set(name, strings.TrimSpace(value))
	}
	request.Host = request.Header.Get("Host")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", origin.Failure(err), err)
	}
	defer response.Body.Close()
	if !f.quiet {
		fmt.Fprintf(stdout, "%s %s\n", response.Proto, response.Status)
		for _, name := range slices.Sorted(maps.Keys(response.Header)) {
			fmt.Fprintf(stdout, "%s: %s\n", name, strings.Join(response.Header[name], ", "))
		}
		fmt.Fprintln(stdout)
	}
	if _, err := io.Copy(stdout, response.Body); err != nil {
		return fmt.Errorf("reading the answer's body: %s: %w", origin.Failure(err), err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

func newResolve() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "resolve NAME", Short: "Print the addresses of a name, one on each line", Args: one("a name", "voting-svc.vote.svc.cluster.local"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			addresses, err := net.DefaultResolver.LookupHost(ctx, args[0])
			if err != nil {
				return fmt.Errorf("resolving %s: %w", args[0], err)
			}
			slices.Sort(addresses)
			fmt.Fprintln(cmd.OutOrStdout(), strings.Join(addresses, "\n"))
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long the answer may take")
	return cmd
}

func newSleep() *cobra.Command {
	return &cobra.Command{
		Use: "sleep", Short: "Do nothing until SIGTERM", Args: arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			<-cmd.Context().Done()
			return nil
		},
	}
}

// one is for commands that take one argument.
func one(what, such string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return errors.New(cmd.CommandPath() + " takes " + what + ", such as " + such)
	}
}
