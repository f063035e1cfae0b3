package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/linkspan/linkspan/test/rig"
)

// askPatience is for one question to an admin port.
const askPatience = 5 * time.Second

// expectSoon asks until it hears no error.
func expectSoon(t *testing.T, ask func() error) {
	t.Helper()
	rig.ExpectSoon(t, func(context.Context) error { return ask() })
}

// get asks an admin port.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	// No proxy: the addresses exist in this namespace only.
	asker := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := asker.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, text)
	}
	return string(text), nil
}

// metric sums the series of a counter or gauge that carry a label's value.
func metric(ctx context.Context, url, name, label, value string) (float64, error) {
	text, err := get(ctx, url)
	if err != nil {
		return 0, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return 0, err
	}
	family, ok := families[name]
	if !ok {
		return 0, fmt.Errorf("there is no metric %s", name)
	}
	var sum float64
	for _, series := range family.GetMetric() {
		for _, pair := range series.GetLabel() {
			if pair.GetName() == label && pair.GetValue() == value {
				sum += series.GetCounter().GetValue() + series.GetGauge().GetValue()
			}
		}
	}
	return sum, nil
}
