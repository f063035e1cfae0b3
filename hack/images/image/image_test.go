package image

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var source = Source{
	Version: "v1.2.3", Revision: "0123456789abcdef0123456789abcdef01234567", URL: "https://example.org/linkspan",
	Created: time.Date(2026, 11, 21, 7, 30, 0, 0, time.UTC),
}

// program writes the source of a program into a folder of its own.
func program(t *testing.T) Program {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.org/hello\n\ngo 1.26\n",
		"main.go": "package main\n\nvar version = \"dev\"\n\nfunc main() { print(version) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Program{Name: "hello", Package: ".", Dir: dir, Description: "Says hello", Ports: []int{4191}}
}

func build(t *testing.T, p Program, architecture string) *Image {
	t.Helper()
	img, err := Build(t.Context(), p, source, v1.Platform{OS: "linux", Architecture: architecture})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// archive writes the images under one name.
func archive(t *testing.T, images ...*Image) []byte {
	t.Helper()
	index, err := Index(images)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hello.tar")
	if err := Write(path, "example.org/linkspan/hello:v1.2.3", index, source.Created); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(left) != 1 {
		t.Errorf("beside the archive is %q (%v)", left, err)
	}
	return data
}

// unpack makes an image layout of an archive.
func unpack(t *testing.T, data []byte) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Uname != "" || !header.ModTime.Equal(source.Created) || header.Mode != 0o644 {
			t.Errorf("%s tells of this machine: %+v", header.Name, header)
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// What tools read from the archive: one name, and below it an image for each platform.
func TestAnArchiveHasAnImageForEachPlatform(t *testing.T) {
	p := program(t)
	top := unpack(t, archive(t, build(t, p, "arm64"), build(t, p, "amd64")))
	if err := validate.Index(top); err != nil {
		t.Error(err)
	}
	names, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(names.Manifests) != 1 {
		t.Fatalf("there are %d names, want one", len(names.Manifests))
	}
	for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
		if got := names.Manifests[0].Annotations[key]; got != "example.org/linkspan/hello:v1.2.3" {
			t.Errorf("%s is %q", key, got)
		}
	}
	index, err := top.ImageIndex(names.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, img, m.Platform.Architecture)
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(platforms, want) {
		t.Errorf("platforms are %q, want %q", platforms, want)
	}
}

// checkImage wants one static program, and nobody but it.
func checkImage(t *testing.T, img v1.Image, architecture string) {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := file.Config
	if file.Architecture != architecture || file.OS != "linux" || !file.Created.Equal(source.Created) ||
		c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/hello"}) || len(c.Cmd)+len(c.Env) > 0 {
		t.Errorf("%s: the configuration is %+v", architecture, file)
	}
	if _, ok := c.ExposedPorts["4191/tcp"]; !ok || len(c.ExposedPorts) != 1 {
		t.Errorf("%s: ports are %v", architecture, c.ExposedPorts)
	}
	for key, want := range map[string]string{
		"title": "hello", "description": "Says hello", "version": "v1.2.3", "revision": source.Revision, "source": source.URL,
		"created": "2026-11-21T07:30:00Z", "licenses": "Apache-2.0",
	} {
		if got := c.Labels["org.opencontainers.image."+key]; got != want {
			t.Errorf("%s: label %s is %q, want %q", architecture, key, got, want)
		}
	}
	checkLayer(t, img, architecture)
}

func checkLayer(t *testing.T, img v1.Image, architecture string) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers (%v), want one", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = content.Close() }()
	r := tar.NewReader(content)
	header, err := r.Next()
	if err != nil || header.Name != "hello" || header.FileInfo().Mode() != fs.FileMode(0o555) || header.Uid != 0 || !header.ModTime.Equal(source.Created) {
		t.Fatalf("%s: the first file is %+v (%v)", architecture, header, err)
	}
	binary, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if next, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("%s: there is more: %+v %v", architecture, next, err)
	}
	program, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[architecture]
	if libraries, _ := program.ImportedLibraries(); program.Machine != machine || len(libraries) > 0 {
		t.Errorf("%s: the program is for %v and needs %q", architecture, program.Machine, libraries)
	}
	if _, err := buildinfo.Read(bytes.NewReader(binary)); err != nil {
		t.Errorf("%s: nobody could tell what it was built from: %v", architecture, err)
	}
	if !bytes.Contains(binary, []byte("v1.2.3")) {
		t.Errorf("%s: the program does not know its version", architecture)
	}
}

// The same source makes the same bytes, wherever it lies.
func TestImagesAreReproducible(t *testing.T) {
	first, second := build(t, program(t), "amd64"), build(t, program(t), "amd64")
	if !bytes.Equal(archive(t, first), archive(t, second)) {
		t.Error("two archives of one source differ")
	}
	if !bytes.Equal(first.SBOM, second.SBOM) {
		t.Error("two bills of materials of one source differ")
	}
}

func TestTheBillOfMaterialsNamesEveryModule(t *testing.T) {
	p := Program{Name: "images", Package: "../"} // this very tool, which has dependencies
	img := build(t, p, "amd64")
	var doc document
	if err := json.Unmarshal(img.SBOM, &doc); err != nil {
		t.Fatal(err)
	}
	found := map[string]part{}
	for _, module := range doc.Packages {
		found[module.Name] = module
	}
	const dependency = "github.com/google/go-containerregistry"
	for _, name := range []string{"github.com/linkspan/linkspan/hack/images", "stdlib", dependency} {
		if found[name].Name == "" {
			t.Errorf("%s is not in it", name)
		}
	}
	module := found[dependency]
	if !strings.HasPrefix(module.Version, "v") || len(module.Checksums) != 1 || len(module.Checksums[0].Value) != 64 ||
		module.ExternalRefs[0].Locator != "pkg:golang/"+dependency+"@"+module.Version {
		t.Errorf("it says %+v", module)
	}
	if len(doc.Relationships) != len(doc.Packages) {
		t.Errorf("%d relationships for %d packages", len(doc.Relationships), len(doc.Packages))
	}
	if doc.CreationInfo.Created != "2026-11-21T07:30:00Z" || !strings.Contains(doc.DocumentNamespace, source.Revision) {
		t.Errorf("it is of %+v, %s", doc.CreationInfo, doc.DocumentNamespace)
	}
}

func TestWhatCannotBeBuiltSaysWhy(t *testing.T) {
	p := program(t)
	if err := os.WriteFile(filepath.Join(p.Dir, "main.go"), []byte("package main\n\nfunc main() { nonsense() }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Build(t.Context(), p, source, v1.Platform{OS: "linux", Architecture: "amd64"})
	if err == nil || !strings.Contains(err.Error(), "undefined: nonsense") || !strings.Contains(err.Error(), "linux/amd64") {
		t.Errorf("the error is %v", err)
	}
}

// Content that is not compressed is the same content, and costs no time on the machine that uses it.
func TestPlainContent(t *testing.T) {
	p := program(t)
	p.Plain = true
	img := build(t, p, "amd64")
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	if got, err := layers[0].MediaType(); err != nil || got != types.OCIUncompressedLayer {
		t.Errorf("it is %s, %v", got, err)
	}
	stored, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if content, err := layers[0].DiffID(); err != nil || stored != content {
		t.Errorf("%s is stored, its content is %s (%v)", stored, content, err)
	}
}
