package v1alpha3

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the storage version of Linkerd's multicluster API.
var GroupVersion = schema.GroupVersion{Group: "multicluster.linkerd.io", Version: "v1alpha3"}

// SchemeGroupVersion is GroupVersion under the name that the generated apply configurations use.
var SchemeGroupVersion = GroupVersion

// AddToScheme registers the types of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &Link{}, &LinkList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
