package charts

import (
	"embed"
	"io/fs"
)

// Names of the charts, which are those of their folders too.
const (
	Linkspan = "linkspan"
	CRDs     = "linkspan-crds"
)

// all: takes files whose names begin with _ or a dot as well, such as templates/_helpers.tpl.
//
//go:embed all:linkspan all:linkspan-crds
var files embed.FS

// Files are those of one chart. It fails for a name that is none of ours.
func Files(chart string) (fs.FS, error) {
	return fs.Sub(files, chart)
}
