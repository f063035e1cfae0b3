package mirror

import (
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
)

// locals indexes the mirrors in the local cluster by the cluster that they came from. It follows the
// cache's events and, ahead of them, our own writes.
type locals struct {
	mu        sync.RWMutex
	byCluster map[string]map[remote.ServiceKey]struct{}
	// claims are mirrors that are being created; see claim.
	claims map[string]map[remote.ServiceKey]struct{}
}

func newLocals() *locals {
	return &locals{byCluster: map[string]map[remote.ServiceKey]struct{}{}, claims: map[string]map[remote.ServiceKey]struct{}{}}
}

// mirrored returns the cluster and service that a local Service or slice is the mirror of.
func mirrored(obj client.Object) (cluster string, key remote.ServiceKey, ok bool) {
	namespace, name, ok := link.SplitFQName(obj.GetAnnotations()[v1alpha3.AnnotationRemoteServiceFQName])
	cluster = obj.GetLabels()[v1alpha3.LabelClusterName]
	if !ok || cluster == "" || namespace != obj.GetNamespace() {
		return "", remote.ServiceKey{}, false
	}
	return cluster, remote.ServiceKey{Namespace: namespace, Name: name}, true
}

func (l *locals) add(cluster string, key remote.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := l.byCluster[cluster]
	if keys == nil {
		keys = map[remote.ServiceKey]struct{}{}
		l.byCluster[cluster] = keys
	}
	keys[key] = struct{}{}
}

func (l *locals) remove(cluster string, key remote.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byCluster[cluster], key)
	if len(l.byCluster[cluster]) == 0 {
		delete(l.byCluster, cluster)
	}
}

// claim takes a place for a mirror that is about to be created, unless limit (0 for none) is reached:
// several workers that all counted one mirror too few must not create one each. It lasts until unclaim.
func (l *locals) claim(cluster string, key remote.ServiceKey, limit int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys, claims := l.byCluster[cluster], l.claims[cluster]
	if _, counted := keys[key]; !counted && limit > 0 {
		taken := len(keys)
		for claimed := range claims {
			if _, counted := keys[claimed]; !counted {
				taken++
			}
		}
		if taken >= limit {
			return false
		}
	}
	if claims == nil {
		claims = map[remote.ServiceKey]struct{}{}
		l.claims[cluster] = claims
	}
	claims[key] = struct{}{}
	return true
}

func (l *locals) unclaim(cluster string, key remote.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.claims[cluster], key)
	if len(l.claims[cluster]) == 0 {
		delete(l.claims, cluster)
	}
}

func (l *locals) count(cluster string) int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.byCluster[cluster])
}

func (l *locals) keys(cluster string) []remote.ServiceKey {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]remote.ServiceKey, 0, len(l.byCluster[cluster]))
	for k := range l.byCluster[cluster] {
		out = append(out, k)
	}
	return out
}
