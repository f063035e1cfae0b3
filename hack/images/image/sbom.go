package image

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// license is that of this project.
const license = "Apache-2.0"

// document is as much of an SPDX 2.3 document as a Go program needs: https://spdx.github.io/spdx-spec/v2.3/.
type document struct {
	SPDXID            string         `json:"SPDXID"`
	Version           string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creationInfo   `json:"creationInfo"`
	DocumentDescribes []string       `json:"documentDescribes"`
	Packages          []part         `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type part struct {
	SPDXID           string      `json:"SPDXID"`
	Name             string      `json:"name"`
	Version          string      `json:"versionInfo"`
	DownloadLocation string      `json:"downloadLocation"`
	FilesAnalyzed    bool        `json:"filesAnalyzed"`
	LicenseConcluded string      `json:"licenseConcluded"`
	LicenseDeclared  string      `json:"licenseDeclared"`
	CopyrightText    string      `json:"copyrightText"`
	Purpose          string      `json:"primaryPackagePurpose,omitempty"`
	Checksums        []checksum  `json:"checksums,omitempty"`
	ExternalRefs     []reference `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type reference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const (
	documentID = "SPDXRef-DOCUMENT"
	none       = "NOASSERTION"
)

// sbom lists what a program was built from, as the program itself says it.
func sbom(p Program, s Source, platform v1.Platform, info *debug.BuildInfo) ([]byte, error) {
	name := fmt.Sprintf("%s-%s-%s-%s", p.Name, s.Version, platform.OS, platform.Architecture)
	root := part{
		SPDXID: "SPDXRef-Package-" + p.Name, Name: info.Path, Version: s.Version, DownloadLocation: none,
		LicenseConcluded: none, LicenseDeclared: license, CopyrightText: none, Purpose: "APPLICATION",
	}
	doc := document{
		SPDXID: documentID, Version: "SPDX-2.3", DataLicense: "CC0-1.0", Name: name,
		DocumentNamespace: strings.TrimSuffix(s.URL, "/") + "/sbom/" + s.Revision + "/" + name,
		CreationInfo:      creationInfo{Created: s.Created.UTC().Format(time.RFC3339), Creators: []string{"Tool: linkspan-images"}},
		DocumentDescribes: []string{root.SPDXID},
		Packages:          []part{root},
		Relationships:     []relationship{{documentID, "DESCRIBES", root.SPDXID}},
	}
	parts, err := parts(info)
	if err != nil {
		return nil, err
	}
	for _, dependency := range parts {
		doc.Packages = append(doc.Packages, dependency)
		doc.Relationships = append(doc.Relationships, relationship{root.SPDXID, "DEPENDS_ON", dependency.SPDXID})
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the bill of materials of %s: %w", p.Name, err)
	}
	return append(text, '\n'), nil
}

// parts are Go itself and the modules, in the order of the program's own list, which is sorted.
func parts(info *debug.BuildInfo) ([]part, error) {
	standard := strings.TrimPrefix(info.GoVersion, "go")
	all := []part{{
		SPDXID: "SPDXRef-Package-go-stdlib", Name: "stdlib", Version: standard, DownloadLocation: none,
		LicenseConcluded: none, LicenseDeclared: "BSD-3-Clause", CopyrightText: none,
		ExternalRefs: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/stdlib@" + standard}},
	}}
	for i, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		sum, err := checksums(module.Sum)
		if err != nil {
			return nil, fmt.Errorf("module %s: %w", module.Path, err)
		}
		all = append(all, part{
			SPDXID: fmt.Sprintf("SPDXRef-Package-go-module-%d", i), Name: module.Path, Version: module.Version,
			DownloadLocation: fmt.Sprintf("https://proxy.golang.org/%s/@v/%s.zip", module.Path, module.Version),
			LicenseConcluded: none, LicenseDeclared: none, CopyrightText: none, Checksums: sum,
			ExternalRefs: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + module.Path + "@" + module.Version}},
		})
	}
	return all, nil
}

// checksums turns the sum of a module, which is the SHA-256 of a list of its files' sums, into SPDX's form.
func checksums(sum string) ([]checksum, error) {
	text, ok := strings.CutPrefix(sum, "h1:")
	if !ok {
		return nil, nil // a module of this very tree has none
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("its sum %q: %w", sum, err)
	}
	return []checksum{{"SHA256", hex.EncodeToString(raw)}}, nil
}
