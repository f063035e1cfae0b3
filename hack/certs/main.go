package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "certs:", err)
		os.Exit(1)
	}
}

// run tells what it made on notes, which is standard error.
func run(args []string, notes io.Writer) error {
	o, err := parse(args, notes)
	if err != nil {
		return err
	}
	made, err := makeAll(o)
	if err != nil {
		return err
	}
	for _, line := range made {
		fmt.Fprintln(notes, line)
	}
	return nil
}
