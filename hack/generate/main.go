package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

const (
	apiPackage = "./api/v1alpha3"
	crdFolder  = "api/v1alpha3/crd"
	crdFile    = "multicluster.linkerd.io_links.yaml"
	chartFile  = "charts/linkspan-crds/templates/links.yaml"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	generator, err := controllerGen(ctx)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "generate-")
	if err != nil {
		return fmt.Errorf("making a folder for the raw CRD: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }() // leftovers in the temporary folder do no harm
	err = command(ctx, generator, "object", "applyconfiguration", "crd",
		"paths="+apiPackage, "output:crd:dir="+folder)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(folder, crdFile))
	if err != nil {
		return fmt.Errorf("reading the raw CRD: %w", err)
	}
	final, err := finish(raw)
	if err != nil {
		return fmt.Errorf("finishing the CRD: %w", err)
	}
	if err := os.MkdirAll(crdFolder, 0o755); err != nil {
		return fmt.Errorf("making the CRD's folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(crdFolder, crdFile), final, 0o644); err != nil {
		return fmt.Errorf("writing the CRD: %w", err)
	}
	charted, err := forChart(final)
	if err != nil {
		return fmt.Errorf("turning the CRD into the chart's: %w", err)
	}
	return os.WriteFile(chartFile, charted, 0o644)
}

// controllerGen builds the pinned generator, in its own module so that its dependencies stay out of
// the product's, and gives the path of the program in Go's cache.
func controllerGen(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "-C", "hack/tools", "tool", "-n", "controller-gen")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("building controller-gen: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s: %w", filepath.Base(name), err)
	}
	return nil
}
