package nodes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linkspan/linkspan/hack/images/image"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// Names of the rig's own images. No registry has this name.
const (
	pauseImage = "nodes.example/pause:v1"
	dnsImage   = "nodes.example/coredns:v1"
)

// Binary says which program becomes an image.
type Binary struct {
	// Image is the image's whole name, such as ghcr.io/linkspan/vote:v1. Its program is /NAME, with the last part of the name.
	Image string
	// Path is a static program for Linux; Package is built when it is empty, such as ./test/nodes/probe, in Dir or the
	// current folder.
	Path, Package, Dir string
}

// Archive makes an OCI archive of a program in a folder, for Options.Images and Fleet.Import, and returns its path.
func Archive(ctx context.Context, dir string, binary Binary) (string, error) {
	name, version, err := splitImage(binary.Image)
	if err != nil {
		return "", err
	}
	program := image.Program{Name: name, Package: binary.Package, Dir: binary.Dir, Description: "For tests only", Plain: true}
	source := image.Source{Version: version, Created: time.Unix(0, 0).UTC()}
	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	var made *image.Image
	if binary.Path != "" {
		made, err = image.FromFile(binary.Path, program, source, platform)
	} else {
		made, err = image.Build(ctx, program, source, platform)
	}
	if err != nil {
		return "", fmt.Errorf("image %s: %w", binary.Image, err)
	}
	index, err := image.Index([]*image.Image{made})
	if err != nil {
		return "", fmt.Errorf("image %s: %w", binary.Image, err)
	}
	path := filepath.Join(dir, name+"-"+version+".tar")
	if err := image.Write(path, binary.Image, index, source.Created); err != nil {
		return "", fmt.Errorf("image %s: %w", binary.Image, err)
	}
	return path, nil
}

// splitImage cuts example.org/group/name:version.
func splitImage(whole string) (name, version string, err error) {
	last := whole[strings.LastIndexByte(whole, '/')+1:]
	name, version, found := strings.Cut(last, ":")
	if !found || name == "" || version == "" || last == whole {
		return "", "", fmt.Errorf("image %q must have a host and a version, such as ghcr.io/linkspan/name:v1", whole)
	}
	return name, version, nil
}

// ownImages makes the images that every cluster needs.
func (f *Fleet) ownImages(ctx context.Context) ([]string, error) {
	dir := filepath.Join(f.state.dir, "images")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of images: %w", err)
	}
	var archives []string
	for name, program := range map[string]string{pauseImage: kubebin.Pause, dnsImage: kubebin.CoreDNS} {
		archive, err := Archive(ctx, dir, Binary{Image: name, Path: filepath.Join(f.programs, program)})
		if err != nil {
			return nil, err
		}
		archives = append(archives, archive)
	}
	return archives, nil
}
