package image

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is whom the program runs as: nobody that a node has, and not root (SEC-1).
const user = "65532:65532"

// Program is what an image is made of.
type Program struct {
	// Name is the file's name in the image's root, and the end of the image's name.
	Name string
	// Package is the import path, or a path that begins with ./.
	Package string
	// Dir is where go build runs; the current folder when empty.
	Dir string
	// Description is for the image's label.
	Description string
	// Ports that it listens on, for whoever looks at the image.
	Ports []int
	// Plain leaves the image's content uncompressed, for images that are made and used on one machine.
	Plain bool
}

// Source says what an image is built from, for its labels. All of it goes into the image, so that the same source
// makes the same bytes.
type Source struct {
	Version  string
	Revision string
	URL      string
	// Created is the time of the source, not of the build.
	Created time.Time
}

// Image is an image for one platform, with its bill of materials.
type Image struct {
	v1.Image
	Platform v1.Platform
	// SBOM is an SPDX document in JSON.
	SBOM []byte
	// Binary is the program's size in bytes.
	Binary int64
}

// Build compiles a program, without cgo, and makes its image.
func Build(ctx context.Context, p Program, s Source, platform v1.Platform) (*Image, error) {
	dir, err := os.MkdirTemp("", "linkspan-image-")
	if err != nil {
		return nil, fmt.Errorf("making a folder to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left of it is the system's to remove
	path := filepath.Join(dir, p.Name)
	if err := compile(ctx, p, s, platform, path); err != nil {
		return nil, err
	}
	return FromFile(path, p, s, platform)
}

// FromFile makes the image of a program that is built already, by Go and without cgo.
func FromFile(path string, p Program, s Source, platform v1.Platform) (*Image, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the built program: %w", err)
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("reading what %s was built from: %w", p.Name, err)
	}
	made := &Image{Platform: platform, Binary: int64(len(binary))}
	if made.SBOM, err = sbom(p, s, platform, info); err != nil {
		return nil, err
	}
	if made.Image, err = assemble(p, s, platform, binary); err != nil {
		return nil, fmt.Errorf("making the image of %s for %s: %w", p.Name, platform, err)
	}
	return made, nil
}

// compile leaves out what differs between two checkouts of the same source: their paths, and what git says of them.
func compile(ctx context.Context, p Program, s Source, platform v1.Platform, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+s.Version, "-o", out, p.Package)
	cmd.Dir = p.Dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+platform.OS, "GOARCH="+platform.Architecture, "GOAMD64=v1", "GOARM64=v8.0")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s for %s: %w\n%s", p.Package, platform, err, strings.TrimSpace(said.String()))
	}
	return nil
}

func assemble(p Program, s Source, platform v1.Platform, binary []byte) (v1.Image, error) {
	content, err := layer(p.Name, binary, s.Created)
	if err != nil {
		return nil, err
	}
	blob, err := blobOf(content, p.Plain)
	if err != nil {
		return nil, fmt.Errorf("its layer: %w", err)
	}
	mediaType, err := blob.MediaType()
	if err != nil {
		return nil, fmt.Errorf("its layer: %w", err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{
		Layer: blob, MediaType: mediaType,
		History: v1.History{Created: v1.Time{Time: s.Created}, CreatedBy: "go build " + p.Package},
	})
	if err != nil {
		return nil, fmt.Errorf("its layer: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("its configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant = platform.OS, platform.Architecture, platform.Variant
	file.Created = v1.Time{Time: s.Created}
	file.Config = v1.Config{
		Entrypoint: []string{"/" + p.Name}, User: user, WorkingDir: "/", Labels: labels(p, s), ExposedPorts: exposed(p.Ports),
	}
	img, err = mutate.ConfigFile(img, file)
	if err != nil {
		return nil, fmt.Errorf("its configuration: %w", err)
	}
	return img, nil
}

// blobOf makes what is stored of a tar file.
func blobOf(content []byte, plain bool) (v1.Layer, error) {
	if plain {
		return static.NewLayer(content, types.OCIUncompressedLayer), nil
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithMediaType(types.OCILayer))
}

// layer is a tar file with the program alone.
func layer(name string, binary []byte, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: 0o555, Size: int64(len(binary)), ModTime: at.Truncate(time.Second), Format: tar.FormatPAX,
	}); err != nil {
		return nil, fmt.Errorf("the layer's header: %w", err)
	}
	if _, err := w.Write(binary); err != nil {
		return nil, fmt.Errorf("the layer's file: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("the layer's end: %w", err)
	}
	return out.Bytes(), nil
}

// labels are the keys of the OCI image specification.
func labels(p Program, s Source) map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       p.Name,
		prefix + "description": p.Description,
		prefix + "version":     s.Version,
		prefix + "revision":    s.Revision,
		prefix + "source":      s.URL,
		prefix + "created":     s.Created.UTC().Format(time.RFC3339),
		prefix + "licenses":    license,
	}
}

func exposed(ports []int) map[string]struct{} {
	if len(ports) == 0 {
		return nil
	}
	all := map[string]struct{}{}
	for _, port := range ports {
		all[fmt.Sprintf("%d/tcp", port)] = struct{}{}
	}
	return all
}
