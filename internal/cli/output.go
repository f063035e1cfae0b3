package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const (
	formatYAML = "yaml"
	formatJSON = "json"
	formatWide = "wide"
)

// manifestOutput is the -o flag of commands that print manifests.
type manifestOutput struct{ format string }

func (o *manifestOutput) bind(fs *pflag.FlagSet) {
	fs.StringVarP(&o.format, "output", "o", formatYAML, "format of the manifests: yaml or json")
}

func (o manifestOutput) validate() error {
	if o.format != formatYAML && o.format != formatJSON {
		return fmt.Errorf("--output %q must be yaml or json", o.format)
	}
	return nil
}

// write prints objects all at once or, on error, not at all, so that a pipe never applies half of them.
func (o manifestOutput) write(streams Streams, objects []runtime.Object) error {
	var out bytes.Buffer
	for _, obj := range objects {
		text, err := o.encode(obj)
		if err != nil {
			return err
		}
		out.Write(text)
	}
	if _, err := out.WriteTo(streams.Out); err != nil {
		return fmt.Errorf("writing the manifests: %w", err)
	}
	return nil
}

// encode gives the same bytes for the same object.
func (o manifestOutput) encode(obj runtime.Object) ([]byte, error) {
	if o.format == formatJSON {
		text, err := json.MarshalIndent(obj, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("writing a %T as JSON: %w", obj, err)
		}
		return append(text, '\n'), nil
	}
	text, err := yaml.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("writing a %T as YAML: %w", obj, err)
	}
	return append([]byte("---\n"), text...), nil
}

// printJSON writes any value as indented JSON.
func printJSON(streams Streams, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	if _, err := streams.Out.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}
