package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// median of an odd number of values is one of them. There is at least one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile is the smallest value that p percent of all are not above; none of no values.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return none()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

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
