package rig

import (
	"fmt"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// HasLabel wants a label of a Service.
func HasLabel(key, value string) func(*corev1.Service) error {
	return func(service *corev1.Service) error {
		if got, found := service.Labels[key]; !found || got != value {
			return fmt.Errorf("label %s is %q, want %q", key, got, value)
		}
		return nil
	}
}

// LacksLabel wants a label to be absent from a Service.
func LacksLabel(key string) func(*corev1.Service) error {
	return func(service *corev1.Service) error {
		if got, found := service.Labels[key]; found {
			return fmt.Errorf("label %s is there (%q), want none", key, got)
		}
		return nil
	}
}

// HasAnnotation wants an annotation of a Service.
func HasAnnotation(key, value string) func(*corev1.Service) error {
	return func(service *corev1.Service) error {
		if got, found := service.Annotations[key]; !found || got != value {
			return fmt.Errorf("annotation %s is %q, want %q", key, got, value)
		}
		return nil
	}
}

// LacksAnnotation wants an annotation to be absent from a Service.
func LacksAnnotation(key string) func(*corev1.Service) error {
	return func(service *corev1.Service) error {
		if got, found := service.Annotations[key]; found {
			return fmt.Errorf("annotation %s is there (%q), want none", key, got)
		}
		return nil
	}
}

// HasPorts wants exactly these ports, leaving out what the API server fills in.
func HasPorts(want ...corev1.ServicePort) func(*corev1.Service) error {
	return func(service *corev1.Service) error {
		got := make([]corev1.ServicePort, 0, len(service.Spec.Ports))
		for _, port := range service.Spec.Ports {
			got = append(got, corev1.ServicePort{Name: port.Name, Port: port.Port, Protocol: port.Protocol, AppProtocol: port.AppProtocol})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("ports (-want +got):\n%s", diff)
		}
		return nil
	}
}

// IsStill wants the very same Service: same UID, same ClusterIP.
func IsStill(before *corev1.Service) func(*corev1.Service) error {
	type identity struct {
		UID       types.UID
		ClusterIP string
	}
	return func(service *corev1.Service) error {
		want := identity{UID: before.UID, ClusterIP: before.Spec.ClusterIP}
		got := identity{UID: service.UID, ClusterIP: service.Spec.ClusterIP}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("identity (-want +got):\n%s", diff)
		}
		return nil
	}
}

// ReadyAddresses wants exactly these addresses to be ready, in any order, in all slices together.
func ReadyAddresses(want ...string) func([]*discoveryv1.EndpointSlice) error {
	return func(slices []*discoveryv1.EndpointSlice) error {
		return sameSet("ready addresses", want, addresses(slices, true))
	}
}

// UnreadyAddresses wants exactly these addresses to be there and not ready.
func UnreadyAddresses(want ...string) func([]*discoveryv1.EndpointSlice) error {
	return func(slices []*discoveryv1.EndpointSlice) error {
		return sameSet("addresses that are not ready", want, addresses(slices, false))
	}
}

// addresses collects the addresses whose endpoint is ready, or is not. An unset condition means ready.
func addresses(slices []*discoveryv1.EndpointSlice, ready bool) []string {
	var found []string
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			if (endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready) == ready {
				found = append(found, endpoint.Addresses...)
			}
		}
	}
	return found
}

func sameSet(what string, want, got []string) error {
	count := func(items []string) map[string]int {
		counts := map[string]int{}
		for _, item := range items {
			counts[item]++
		}
		return counts
	}
	if diff := cmp.Diff(count(want), count(got)); diff != "" {
		return fmt.Errorf("%s (-want +got):\n%s", what, diff)
	}
	return nil
}
