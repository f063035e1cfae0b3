package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// acceptTable asks for what kubectl get prints.
const acceptTable = "application/json;as=Table;v=v1;g=meta.k8s.io"

// TableOf is what `kubectl get <resource>` prints without -o wide, for people and for tests of print
// columns. An empty namespace means all of them.
func (c *Cluster) TableOf(ctx context.Context, resource schema.GroupVersionResource, namespace string) (string, error) {
	config, err := c.RESTConfig(c.Admin())
	if err != nil {
		return "", err
	}
	config.APIPath = "/apis"
	if resource.Group == "" {
		config.APIPath = "/api"
	}
	groupVersion := resource.GroupVersion()
	config.GroupVersion = &groupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(c.scheme).WithoutConversion()
	asker, err := rest.RESTClientFor(config)
	if err != nil {
		return "", fmt.Errorf("make a client of %s: %w", c.name, err)
	}
	text, err := asker.Get().NamespaceIfScoped(namespace, namespace != "").Resource(resource.Resource).
		SetHeader("Accept", acceptTable).DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("list %s of %s as a table: %w", resource.Resource, c.name, err)
	}
	var table metav1.Table
	if err := json.Unmarshal(text, &table); err != nil {
		return "", fmt.Errorf("read the table of %s: %w", resource.Resource, err)
	}
	return renderTable(&table)
}

// renderTable aligns the columns of priority 0.
func renderTable(table *metav1.Table) (string, error) {
	var text strings.Builder
	writer := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	var shown []int
	var names []string
	for i, column := range table.ColumnDefinitions {
		if column.Priority == 0 {
			shown = append(shown, i)
			names = append(names, strings.ToUpper(column.Name))
		}
	}
	lines := [][]string{names}
	for _, row := range table.Rows {
		cells := make([]string, 0, len(shown))
		for _, i := range shown {
			cell := ""
			if i < len(row.Cells) && row.Cells[i] != nil {
				cell = fmt.Sprint(row.Cells[i])
			}
			cells = append(cells, cell)
		}
		lines = append(lines, cells)
	}
	for _, cells := range lines {
		if _, err := fmt.Fprintln(writer, strings.Join(cells, "\t")); err != nil {
			return "", err
		}
	}
	if err := writer.Flush(); err != nil {
		return "", fmt.Errorf("align the table: %w", err)
	}
	return text.String(), nil
}
