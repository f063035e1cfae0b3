package install

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	// RecordName is the Secret in the installation's namespace that holds its settings.
	RecordName = "linkspan-install"
	// RecordType keeps the Secret apart from those of Links and of users.
	RecordType = corev1.SecretType("linkspan.io/install")
	recordKey  = "settings.yaml"
)

// Sources are where values come from, with the names and the syntax of Helm's flags. In the order of
// the fields, what comes later wins.
type Sources struct {
	// Files are paths of YAML files; - is standard input.
	Files []string
	// Preset is set between Files and the rest: flags that are short for a value.
	Preset map[string]any
	// Set and SetString are key=value, SetFile is key=path.
	Set, SetString, SetFile []string
}

// Settings are all that an installation was asked for. They are kept in the cluster, and read by
// older and newer programs: fields may be added, and never change their meaning (UPG-2).
type Settings struct {
	// Version is that of the program that rendered it.
	Version string `json:"version"`
	// HA puts values-ha.yaml below Values. The file is taken from the program, so an upgrade brings its changes.
	HA bool `json:"ha"`
	// CRDs says that the type Link belongs to this installation, and not to another.
	CRDs bool `json:"crds"`
	// CreateNamespace says that the Namespace belongs to it.
	CreateNamespace bool `json:"createNamespace"`
	// Values are those that the user gave. The charts' defaults are not among them, so that new ones count.
	Values map[string]any `json:"values"`

	// newer are fields that a newer program has written; an older one keeps them.
	newer map[string]any
}

// CheckNamespace refuses to make a namespace that is the cluster's own: what is put on it has Linkerd inject into everything there.
func (s Settings) CheckNamespace(namespace string) error {
	if s.CreateNamespace && (namespace == metav1.NamespaceDefault || strings.HasPrefix(namespace, "kube-")) {
		return fmt.Errorf("--namespace %s is the cluster's own namespace, and would get labels and annotations of ours: name another, or give --create-namespace=false", namespace)
	}
	return nil
}

// ImageTag is the tag that the user's values pin both images to, empty when they follow the version.
func (s Settings) ImageTag() string {
	if image, ok := s.Values["image"].(map[string]any); ok {
		if tag, ok := image["tag"].(string); ok {
			return tag
		}
	}
	return ""
}

// record is the Secret that keeps the settings: a Secret, because values may hold what is not for everybody.
func (s Settings) record(namespace string) (*corev1.Secret, error) {
	fields, err := s.fields()
	if err != nil {
		return nil, fmt.Errorf("writing the settings for Secret %s: %w", RecordName, err)
	}
	maps.Copy(fields, s.newer)
	text, err := yaml.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("writing the settings for Secret %s: %w", RecordName, err)
	}
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: RecordName, Labels: ownLabels(s.Version)},
		Type:       RecordType,
		StringData: map[string]string{recordKey: string(text)},
	}, nil
}

// fields are the settings as they are kept. Those that this program does not know are not among them.
func (s Settings) fields() (map[string]any, error) {
	text, err := yaml.Marshal(s)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	return fields, yaml.Unmarshal(text, &fields)
}

// ParseRecord reads the Secret that an API server returned.
func ParseRecord(secret *corev1.Secret) (Settings, error) {
	var s Settings
	text, found := secret.Data[recordKey]
	if secret.Type != RecordType || !found {
		return s, fmt.Errorf("reading the settings: Secret %s/%s is none that mirror install made, for it has not type %s and key %s", secret.Namespace, secret.Name, RecordType, recordKey)
	}
	if err := errors.Join(yaml.Unmarshal(text, &s), yaml.Unmarshal(text, &s.newer)); err != nil {
		return s, fmt.Errorf("key %s of Secret %s/%s: %w", recordKey, secret.Namespace, secret.Name, err)
	}
	known, err := s.fields()
	if err != nil {
		return s, fmt.Errorf("key %s of Secret %s/%s: %w", recordKey, secret.Namespace, secret.Name, err)
	}
	maps.DeleteFunc(s.newer, func(name string, _ any) bool {
		_, is := known[name]
		return is
	})
	return s, nil
}
