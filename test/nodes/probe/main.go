// Command probe is a pod for tests of nodes: it serves its name, and asks others for theirs.
//
//	probe serve NAME PORT   answers every HTTP request with NAME
//	probe get URL           prints the answer
//	probe dial HOST:PORT    connects, and says nothing
//	probe lookup NAME       prints the addresses of a host, one in a line
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// patience bounds what is asked of others.
const patience = 5 * time.Second

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	const serveArgs, askArgs = 3, 2
	switch {
	case len(args) == serveArgs && args[0] == "serve":
		return serve(args[1], args[2])
	case len(args) == askArgs && args[0] == "get":
		return get(args[1], out)
	case len(args) == askArgs && args[0] == "dial":
		return dial(args[1])
	case len(args) == askArgs && args[0] == "lookup":
		return lookup(args[1], out)
	default:
		return errors.New("usage: probe serve NAME PORT | get URL | dial HOST:PORT | lookup NAME")
	}
}

func serve(name, port string) error {
	server := &http.Server{
		Addr: ":" + port, ReadHeaderTimeout: patience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) }),
	}
	return server.ListenAndServe()
}

func get(url string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	_, err = io.Copy(out, response.Body)
	return err
}

func dial(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return connection.Close()
}

func lookup(name string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, strings.Join(addresses, "\n"))
	return err
}
