package observe

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
)

const groupPolicy = "policy.linkerd.io"

// apiTypes are those that the API server serves.
type apiTypes struct {
	groups map[string]bool
	// links are the versions of the Link's group.
	links []string
	// policy are the versions of Linkerd's policies, the newest first.
	policy []string
	err    error
}

func (o *Observer) apiTypes(ctx context.Context) apiTypes {
	list, err := o.kube.Discovery().ServerGroupsWithContext(ctx)
	if err != nil {
		return apiTypes{err: err}
	}
	t := apiTypes{groups: map[string]bool{"": true}}
	for _, group := range list.Groups {
		t.groups[group.Name] = true
		for _, v := range group.Versions {
			switch group.Name {
			case v1alpha3.GroupVersion.Group:
				t.links = append(t.links, v.Version)
			case groupPolicy:
				t.policy = append(t.policy, v.Version)
			}
		}
	}
	slices.Sort(t.links)
	return t
}

// linkAPI asks for what everybody may read, which the CustomResourceDefinition itself is not.
func (o *Observer) linkAPI(ctx context.Context, t apiTypes) check.Read[check.LinkAPI] {
	needs := check.Right{Verb: "get", Resource: "/apis"}
	if t.err != nil || len(t.links) == 0 {
		return read(check.LinkAPI{}, t.err, needs)
	}
	api := check.LinkAPI{Versions: t.links}
	if slices.Contains(t.links, v1alpha3.GroupVersion.Version) {
		resources, err := o.kube.Discovery().ServerResourcesForGroupVersionWithContext(ctx, v1alpha3.GroupVersion.String())
		if err != nil {
			return read(api, err, needs)
		}
		served := func(name string) bool {
			return slices.ContainsFunc(resources.APIResources, func(r metav1.APIResource) bool { return r.Name == name })
		}
		api.Current = served("links") && served("links/status")
	}
	api.Conditions = o.keepsConditions(ctx)
	return read(api, nil, needs)
}

// keepsConditions reads the published schema of Links; nil when that says nothing.
func (o *Observer) keepsConditions(ctx context.Context) *bool {
	paths, err := o.kube.Discovery().OpenAPIV3WithContext(ctx).PathsWithContext(ctx)
	if err != nil {
		return nil
	}
	path := paths["apis/"+v1alpha3.GroupVersion.String()]
	if path == nil {
		return nil
	}
	text, err := path.SchemaWithContext(ctx, "application/json")
	if err != nil {
		return nil
	}
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct {
					Properties map[string]json.RawMessage `json:"properties"`
				} `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil
	}
	for name, s := range document.Components.Schemas {
		if strings.HasSuffix(name, ".Link") {
			_, has := s.Properties["status"].Properties["conditions"]
			return &has
		}
	}
	return nil
}

// served finds the version of each resource of a group, the first that has it.
func (o *Observer) served(ctx context.Context, group string, versions []string) (map[string]schema.GroupVersionResource, error) {
	all := map[string]schema.GroupVersionResource{}
	for _, version := range versions {
		gv := schema.GroupVersion{Group: group, Version: version}
		resources, err := o.kube.Discovery().ServerResourcesForGroupVersionWithContext(ctx, gv.String())
		if err != nil {
			return nil, err
		}
		for _, r := range resources.APIResources {
			if _, known := all[r.Name]; !known {
				all[r.Name] = gv.WithResource(r.Name)
			}
		}
	}
	return all, nil
}
