package certs

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// maxFile is how many bytes one of the files may have; certificates need a few thousand.
const maxFile = 1 << 20

// files are the contents of the three files.
type files struct{ cert, key, anchors []byte }

// read reads all files. They may be of different versions: parse finds out.
func (o Options) read() (files, error) {
	var f files
	for _, file := range []struct {
		flag, path string
		into       *[]byte
	}{{flagCert, o.CertFile, &f.cert}, {flagKey, o.KeyFile, &f.key}, {flagAnchors, o.AnchorsFile, &f.anchors}} {
		data, err := readFile(file.path)
		if err != nil {
			return files{}, fmt.Errorf("--%s%s: %w", o.prefix, file.flag, err)
		}
		*file.into = data
	}
	return f, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("give a PEM file that this process may read: %w", err) // the error names the path
	}
	defer func() { _ = file.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("give a PEM file that can be read: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes: give a file that holds certificates and nothing else", path, maxFile)
	}
	return data, nil
}

// digest tells sets of files apart, without keeping the key.
func (f files) digest() [sha256.Size]byte {
	var all []byte
	for _, data := range [][]byte{f.cert, f.key, f.anchors} {
		all = binary.BigEndian.AppendUint64(all, uint64(len(data)))
		all = append(all, data...)
	}
	return sha256.Sum256(all)
}
