package remote

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LESSON-5: a client that ends leaves no connection open, whatever state the transport takes it to be in: a watch that goes
// on is the state between the end of a watch and its being forgotten, made to last.
func TestClosedClientLeavesNoConnection(t *testing.T) {
	t.Parallel()
	for name, http2 := range map[string]bool{"HTTP/2": true, "HTTP/1.1": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var open, opened atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				w.WriteHeader(http.StatusOK)
				w.(http.Flusher).Flush()
				<-req.Context().Done()
			}))
			server.EnableHTTP2 = http2
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					open.Add(1)
					opened.Add(1)
				case http.StateClosed, http.StateHijacked:
					open.Add(-1)
				case http.StateActive, http.StateIdle:
				}
			}
			server.StartTLS()
			client, err := newRemoteClient(credentialsTo(t, server.URL), "test")
			if err != nil {
				t.Fatal(err)
			}
			// Its own context: the end of the test is not to be what ends it.
			watch, err := client.CoreV1().Services("").Watch(context.Background(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(watch.Stop)
			t.Cleanup(func() { server.CloseClientConnections(); server.Close() })

			client.close()
			eventually(t, "the watch's connection is closed", func() bool { return open.Load() == 0 })
			for event := range watch.ResultChan() {
				if _, ok := event.Object.(*corev1.Service); ok {
					t.Errorf("got %v after the end", event.Object)
				}
			}
			late, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := client.transport.RoundTrip(late); err == nil {
				t.Errorf("a closed client was answered %s", resp.Status)
				_ = resp.Body.Close()
			}
			if opened.Load() != 1 {
				t.Errorf("%d connections were opened, want 1: a closed client must open none", opened.Load())
			}
		})
	}
}
