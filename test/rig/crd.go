package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// fieldOwner is the field manager of what the rig applies.
const fieldOwner = client.FieldOwner("linkspan-rig")

// InstallCRDs applies every definition in api/v1alpha3/crd and waits until it is served.
func (c *Cluster) InstallCRDs(ctx context.Context) error {
	root, err := kubebin.ModuleRoot()
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(root, "api", "v1alpha3", "crd", "*.yaml"))
	if err != nil {
		return fmt.Errorf("find the CRDs: %w", err)
	}
	if len(files) == 0 {
		return errors.New("no CRDs in api/v1alpha3/crd: run make generate")
	}
	for _, file := range files {
		if err := c.installCRD(ctx, file); err != nil {
			return fmt.Errorf("cluster %s: install %s: %w", c.name, filepath.Base(file), err)
		}
	}
	return nil
}

func (c *Cluster) installCRD(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &crd.Object); err != nil {
		return err
	}
	if err := c.admin.Apply(ctx, client.ApplyConfigurationFromUnstructured(crd), fieldOwner, client.ForceOwnership); err != nil {
		return err
	}
	_, err = Await(ctx, c, crd, Named(crd.GetName()), func(found []client.Object) error {
		if len(found) == 0 {
			return errors.New("not there yet")
		}
		return established(found[0])
	})
	if err != nil {
		return err
	}
	return c.awaitServed(ctx, crd)
}

// established reads the condition that says that the names were accepted.
func established(object client.Object) error {
	crd, ok := object.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("unexpected type %T", object)
	}
	conditions, _, err := unstructured.NestedSlice(crd.Object, "status", "conditions")
	if err != nil {
		return err
	}
	for _, entry := range conditions {
		condition, ok := entry.(map[string]any)
		if ok && condition["type"] == "Established" && condition["status"] == "True" {
			return nil
		}
	}
	return errors.New("not established")
}

// awaitServed waits for the handlers, which come a moment after the condition.
func (c *Cluster) awaitServed(ctx context.Context, crd *unstructured.Unstructured) error {
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		return err
	}
	group, _, err := unstructured.NestedString(crd.Object, "spec", "group")
	if err != nil {
		return err
	}
	kind, _, err := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	if err != nil {
		return err
	}
	for _, entry := range versions {
		version, ok := entry.(map[string]any)
		if !ok || version["served"] != true {
			continue
		}
		name, ok := version["name"].(string)
		if !ok {
			return fmt.Errorf("a version of CustomResourceDefinition %s has no name", crd.GetName())
		}
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: name, Kind: kind})
		if _, err := Await(ctx, c, object, nil, func([]client.Object) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}
