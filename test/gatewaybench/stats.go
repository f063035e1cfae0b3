package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// sumByVia reads one of a gateway's metrics, summed up by what carries streams.
func sumByVia(metrics io.Reader, name string) (map[string]float64, error) {
	label := regexp.MustCompile(`[{,]via="([^"]*)"`)
	found := map[string]float64{}
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		series, text, ok := strings.Cut(lines.Text(), "} ")
		via := label.FindStringSubmatch(series)
		if !ok || via == nil || !strings.HasPrefix(series, name+"{") {
			continue
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("reading metric %q: %w", series, err)
		}
		found[via[1]] += n
	}
	return found, lines.Err()
}
