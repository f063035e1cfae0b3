package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linkspan/linkspan/hack/images/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// programs are what a cluster runs.
func programs() []image.Program {
	return []image.Program{
		{Name: "mirror", Package: "./cmd/controller", Description: "Links clusters and mirrors their services", Ports: []int{9999}},
		{Name: "gateway", Package: "./cmd/gateway", Description: "Carries streams between clusters over mutual TLS", Ports: []int{4143, 4191}},
	}
}

type options struct {
	out, name string
	source    image.Source
	platforms []v1.Platform
}

func parse(args []string, stderr io.Writer) (options, error) {
	fs := flag.NewFlagSet("images", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var o options
	var platforms, created string
	fs.StringVar(&o.out, "out", "dist/images", "folder to write to")
	fs.StringVar(&o.name, "name", "linkspan", "what the images' names begin with, such as example.org/linkspan")
	fs.StringVar(&o.source.Version, "version", "dev", "version of the programs, and the images' tag")
	fs.StringVar(&o.source.Revision, "revision", "", "commit that the source is of")
	fs.StringVar(&o.source.URL, "source", "https://github.com/linkspan/linkspan", "where the source is")
	fs.StringVar(&created, "created", os.Getenv("SOURCE_DATE_EPOCH"), "time of the source in seconds since 1970; $SOURCE_DATE_EPOCH, or the last commit's")
	fs.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64", "platforms to build for")
	if err := fs.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // it names the flag, and is printed already
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: there are flags only", fs.Arg(0))
	}
	for text := range strings.SplitSeq(platforms, ",") {
		platform, err := v1.ParsePlatform(strings.TrimSpace(text))
		if err != nil || platform.OS != "linux" || platform.Architecture == "" {
			return o, fmt.Errorf("-platforms: %q is no platform that has images here, such as linux/arm64", text)
		}
		o.platforms = append(o.platforms, *platform)
	}
	seconds, err := strconv.ParseInt(created, 10, 64)
	if created != "" && err != nil {
		return o, fmt.Errorf("-created is %q, must be seconds since 1970: %w", created, err)
	}
	if o.source.Created = time.Unix(seconds, 0).UTC(); created == "" {
		o.source.Created = time.Time{}
	}
	return o, nil
}

// complete asks git for what was not said.
func (o *options) complete(ctx context.Context) error {
	for _, ask := range []struct {
		missing bool
		args    []string
		take    func(string) error
	}{
		{o.source.Revision == "", []string{"rev-parse", "HEAD"}, func(s string) error { o.source.Revision = s; return nil }},
		{o.source.Created.IsZero(), []string{"log", "-1", "--format=%ct"}, func(s string) error {
			seconds, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return fmt.Errorf("the last commit's time: %w", err)
			}
			o.source.Created = time.Unix(seconds, 0).UTC()
			return nil
		}},
	} {
		if !ask.missing {
			continue
		}
		out, err := exec.CommandContext(ctx, "git", ask.args...).Output()
		if err != nil {
			return fmt.Errorf("asking git what the source is: %w; without git give -revision and -created", err)
		}
		if err := ask.take(strings.TrimSpace(string(out))); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := o.complete(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("making -out: %w", err)
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "IMAGE\tPLATFORM\tPROGRAM\tIMAGE, COMPRESSED\tDIGEST")
	for _, p := range programs() {
		if err := o.make(ctx, p, table, stderr); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}
	return nil
}

// make writes the archive of one program, and a line for each platform.
func (o options) make(ctx context.Context, p image.Program, table, stderr io.Writer) error {
	var images []*image.Image
	for _, platform := range o.platforms {
		fmt.Fprintf(stderr, "building %s for %s\n", p.Name, platform)
		img, err := image.Build(ctx, p, o.source, platform)
		if err != nil {
			return err
		}
		images = append(images, img)
		if err := o.tell(p, img, table); err != nil {
			return err
		}
	}
	index, err := image.Index(images)
	if err != nil {
		return err
	}
	archive := filepath.Join(o.out, p.Name+"-"+o.source.Version+".tar")
	if err := image.Write(archive, o.reference(p), index, o.source.Created); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("the digest of %s: %w", archive, err)
	}
	fmt.Fprintf(table, "%s\tall\t\t\t%s\n", o.reference(p), digest)
	fmt.Fprintf(stderr, "%s\n", archive)
	return nil
}

func (o options) reference(p image.Program) string {
	return o.name + "/" + p.Name + ":" + o.source.Version
}

// tell writes the bill of materials of an image, and its line.
func (o options) tell(p image.Program, img *image.Image, table io.Writer) error {
	name := fmt.Sprintf("%s-%s-%s-%s.spdx.json", p.Name, o.source.Version, img.Platform.OS, img.Platform.Architecture)
	if err := os.WriteFile(filepath.Join(o.out, name), img.SBOM, 0o644); err != nil { //nolint:gosec // it is to be published
		return fmt.Errorf("writing the bill of materials: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return fmt.Errorf("the digest of %s: %w", o.reference(p), err)
	}
	layers, err := img.Layers()
	if err != nil {
		return fmt.Errorf("the layers of %s: %w", o.reference(p), err)
	}
	var compressed int64
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			return fmt.Errorf("the size of %s: %w", o.reference(p), err)
		}
		compressed += size
	}
	const mebi = 1 << 20
	fmt.Fprintf(table, "%s\t%s\t%.1f MiB\t%.1f MiB\t%s\n", o.reference(p), img.Platform, float64(img.Binary)/mebi, float64(compressed)/mebi, digest)
	return nil
}
