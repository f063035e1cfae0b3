package image

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Index is one name for the images of all platforms.
func Index(images []*Image) (v1.ImageIndex, error) {
	sorted := slices.SortedFunc(slices.Values(images), func(a, b *Image) int {
		return cmp.Compare(a.Platform.String(), b.Platform.String())
	})
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range sorted {
		descriptor, err := partial.Descriptor(img.Image)
		if err != nil {
			return nil, fmt.Errorf("describing the image for %s: %w", img.Platform, err)
		}
		platform := img.Platform
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img.Image, Descriptor: v1.Descriptor{MediaType: descriptor.MediaType, Platform: &platform},
		})
	}
	return index, nil
}

// Write writes an OCI archive: an image layout (https://github.com/opencontainers/image-spec) as one tar file, that gives
// the index a name such as example.org/linkspan/mirror:v1.
func Write(path, name string, index v1.ImageIndex, at time.Time) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".layout-")
	if err != nil {
		return fmt.Errorf("making a folder for the image's layout: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at = at.Truncate(time.Second)
	into, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("writing the image's layout: %w", err)
	}
	if err := into.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          name, // what containerd calls it
		"org.opencontainers.image.ref.name": name, // what others do
	})); err != nil {
		return fmt.Errorf("writing the image's layout: %w", err)
	}
	temporary := filepath.Join(dir, ".tar")
	if err := pack(temporary, dir, at); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("putting the archive in its place: %w", err)
	}
	return nil
}

// pack makes a tar file of a folder, but of names that begin with a dot: in the order of the names, of nobody, of one time.
func pack(to, dir string, at time.Time) (err error) {
	file, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("making the archive: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := tar.NewWriter(file)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name()[0] == '.' {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return fmt.Errorf("naming %s: %w", path, err)
		}
		return add(w, path, filepath.ToSlash(name), at)
	})
	if err != nil {
		return fmt.Errorf("filling the archive: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("ending the archive: %w", err)
	}
	return nil
}

func add(w *tar.Writer, path, name string, at time.Time) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening a part: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("looking at a part: %w", err)
	}
	if err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: info.Size(), ModTime: at, Format: tar.FormatPAX,
	}); err != nil {
		return fmt.Errorf("writing the header of %s: %w", name, err)
	}
	if _, err := io.Copy(w, file); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
