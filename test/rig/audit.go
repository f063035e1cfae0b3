package rig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Request is one request that an API server answered, as its audit log tells it. A watch counts when
// it starts, everything else when it ends.
type Request struct {
	Time        time.Time
	User        string
	UserAgent   string
	Verb        string
	Group       string
	Resource    string
	Subresource string
	Namespace   string
	Name        string
	// URI is the path and the query.
	URI  string
	Code int
}

// String is the verb and the resource, such as "patch links.multicluster.linkerd.io/status".
func (r Request) String() string {
	resource := r.Resource
	if resource == "" {
		resource, _, _ = strings.Cut(r.URI, "?")
	}
	if r.Group != "" {
		resource += "." + r.Group
	}
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	return r.Verb + " " + resource
}

// Filter keeps the requests that it returns true for.
type Filter func(Request) bool

// By keeps the requests of some users.
func By(users ...string) Filter {
	return func(r Request) bool { return slices.Contains(users, r.User) }
}

// NotByRig drops the rig's own requests.
func NotByRig() Filter {
	return func(r Request) bool { return !strings.HasPrefix(r.UserAgent, UserAgent) }
}

// Agent keeps the requests of clients whose user agent starts with a prefix.
func Agent(prefix string) Filter {
	return func(r Request) bool { return strings.HasPrefix(r.UserAgent, prefix) }
}

// Writes keeps the requests that may change something.
func Writes() Filter {
	verbs := []string{"create", "update", "patch", "delete", "deletecollection"}
	return func(r Request) bool { return slices.Contains(verbs, r.Verb) }
}

// Watches keeps watches.
func Watches() Filter { return func(r Request) bool { return r.Verb == "watch" } }

// NotWatches drops watches, which come and go by the clock.
func NotWatches() Filter { return func(r Request) bool { return r.Verb != "watch" } }

// InNamespace keeps the requests about one namespace.
func InNamespace(namespace string) Filter {
	return func(r Request) bool { return r.Namespace == namespace }
}

// Of keeps the requests about some resources, such as "services".
func Of(resources ...string) Filter {
	return func(r Request) bool { return slices.Contains(resources, r.Resource) }
}

// Refused keeps the requests that the API server did not grant.
func Refused() Filter { return func(r Request) bool { return r.Code >= 400 } }

// AuditMark is a point in a cluster's audit log.
type AuditMark int64

// lineTime is how long a line that is being written is waited for.
const lineTime = 5 * time.Second

// Now is the mark of this moment, behind a whole line. Requests whose client has its whole answer lie
// before it.
func (c *Cluster) Now() (AuditMark, error) {
	file, err := os.Open(c.auditLog())
	if err != nil {
		return 0, fmt.Errorf("read the audit log of %s: %w", c.name, err)
	}
	mark, err := endOfLine(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return 0, fmt.Errorf("read the audit log of %s: %w", c.name, err)
	}
	return mark, nil
}

func endOfLine(file *os.File) (AuditMark, error) {
	deadline := time.Now().Add(lineTime)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		size, whole, err := wholeLines(file)
		if err != nil || whole {
			return size, err
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("its last line has no end after %s", lineTime)
		}
		<-tick.C
	}
}

// wholeLines is the size of the log, and whether it ends with a whole line: the size grows while a line
// is being written.
func wholeLines(file *os.File) (size AuditMark, whole bool, err error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return 0, true, err
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, info.Size()-1); err != nil {
		return 0, false, err
	}
	return AuditMark(info.Size()), last[0] == '\n', nil
}

// Requests are the requests since a mark (0 for the beginning) that every filter keeps, in the order
// of the log.
func (c *Cluster) Requests(from AuditMark, filters ...Filter) ([]Request, error) {
	to, err := c.Now()
	if err != nil {
		return nil, err
	}
	return c.RequestsBetween(from, to, filters...)
}

// RequestsBetween are the requests between two marks.
func (c *Cluster) RequestsBetween(from, to AuditMark, filters ...Filter) ([]Request, error) {
	file, err := os.Open(c.auditLog())
	if err != nil {
		return nil, fmt.Errorf("read the audit log of %s: %w", c.name, err)
	}
	text, err := io.ReadAll(io.NewSectionReader(file, int64(from), int64(to-from)))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("read the audit log of %s: %w", c.name, err)
	}
	var requests []Request
	for line := range bytes.Lines(text) {
		request, counts, err := parseAudit(line)
		if err != nil {
			return nil, fmt.Errorf("audit log of %s: %w", c.name, err)
		}
		if counts && keeps(filters, request) {
			requests = append(requests, request)
		}
	}
	return requests, nil
}

func keeps(filters []Filter, request Request) bool {
	return !slices.ContainsFunc(filters, func(keep Filter) bool { return !keep(request) })
}

func (c *Cluster) auditLog() string { return filepath.Join(c.dir, fileAuditLog) }

// Count counts requests by what String says of them.
func Count(requests []Request) map[string]int {
	return CountBy(requests, Request.String)
}

// CountBy counts requests by anything.
func CountBy[K comparable](requests []Request, key func(Request) K) map[K]int {
	counts := map[K]int{}
	for _, request := range requests {
		counts[key(request)]++
	}
	return counts
}

// Mark is Cluster.Now for tests.
func Mark(t testing.TB, c *Cluster) AuditMark {
	t.Helper()
	mark, err := c.Now()
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

// ExpectRequests wants exactly these requests since a mark, counted as Count does: nil for none.
func ExpectRequests(t testing.TB, c *Cluster, from AuditMark, want map[string]int, filters ...Filter) {
	t.Helper()
	requests, err := c.Requests(from, filters...)
	if err != nil {
		t.Fatal(err)
	}
	if want == nil {
		want = map[string]int{}
	}
	if diff := cmp.Diff(want, Count(requests)); diff != "" {
		t.Errorf("requests to %s (-want +got):\n%s\nin order:\n%s", c.name, diff, describe(requests))
	}
}

func describe(requests []Request) string {
	var text strings.Builder
	for _, r := range requests {
		fmt.Fprintf(&text, "%s %d %s %s/%s by %s (%s)\n", r.Time.Format("15:04:05.000"), r.Code, r, r.Namespace, r.Name, r.User, r.UserAgent)
	}
	return text.String()
}

// auditLine is what we read of audit.k8s.io/v1 Event.
type auditLine struct {
	Stage string `json:"stage"`
	URI   string `json:"requestURI"`
	Verb  string `json:"verb"`
	User  struct {
		Username string `json:"username"`
	} `json:"user"`
	Impersonated *struct {
		Username string `json:"username"`
	} `json:"impersonatedUser"`
	UserAgent string `json:"userAgent"`
	Object    struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Group       string `json:"apiGroup"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	Response struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	Received time.Time `json:"requestReceivedTimestamp"`
}

// parseAudit reads a line, and says whether it counts: a long request has two lines, and a watch
// that is still open has only the first of them.
func parseAudit(line []byte) (Request, bool, error) {
	var event auditLine
	if err := json.Unmarshal(line, &event); err != nil {
		return Request{}, false, fmt.Errorf("line %q: %w", line, err)
	}
	started := event.Stage == "ResponseStarted"
	if watch := event.Verb == "watch"; watch && !started && event.Response.Code < 300 || !watch && started {
		return Request{}, false, nil
	}
	request := Request{
		Time: event.Received, User: event.User.Username, UserAgent: event.UserAgent, Verb: event.Verb,
		Group: event.Object.Group, Resource: event.Object.Resource, Subresource: event.Object.Subresource,
		Namespace: event.Object.Namespace, Name: event.Object.Name, URI: event.URI, Code: event.Response.Code,
	}
	if event.Impersonated != nil {
		request.User = event.Impersonated.Username
	}
	return request, true, nil
}
