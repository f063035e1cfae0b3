package install

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	// RecordName is the Secret in the installation's namespace that holds its settings.
	RecordName = "linkspan-install"
	// recordType keeps the Secret apart from those of Links and of users.
	recordType = "linkspan.io/install"
	recordKey  = "settings.yaml"
)

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
	Values map[string]any `json:"values,omitempty"`
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
	text, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing the settings for Secret %s: %w", RecordName, err)
	}
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: RecordName, Labels: ownLabels(s.Version)},
		Type:       recordType,
		StringData: map[string]string{recordKey: string(text)},
	}, nil
}

// ParseRecord reads the Secret that an API server returned.
func ParseRecord(secret *corev1.Secret) (Settings, error) {
	var s Settings
	text, found := secret.Data[recordKey]
	if secret.Type != recordType || !found {
		return s, fmt.Errorf("reading the settings: Secret %s/%s is none that mirror install made, for it has not type %s and key %s", secret.Namespace, secret.Name, recordType, recordKey)
	}
	if err := yaml.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("key %s of Secret %s/%s: %w", recordKey, secret.Namespace, secret.Name, err)
	}
	return s, nil
}
