package ingress

import (
	"cmp"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/gateway/exports"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// request is what a stream asks for, and who asks.
type request struct {
	client string
	// target is empty where what was asked for is malformed.
	target    wire.Target
	port      uint16
	name      string
	malformed error
}

func newRequest(client string, header wire.Header, domain string) request {
	target, err := wire.ParseTarget(header.Name, domain)
	return request{client: client, target: target, port: header.Port, name: header.Name, malformed: err}
}

func (r request) service() types.NamespacedName {
	return types.NamespacedName{Namespace: r.target.Namespace, Name: r.target.Service}
}

// String is for logs. What was not checked to be made of DNS labels is quoted.
func (r request) String() string {
	if r.malformed != nil {
		return fmt.Sprintf("%.80q:%d", r.name, r.port)
	}
	name := r.target.Namespace + "/" + r.target.Service
	if r.target.Hostname != "" {
		name += "/" + r.target.Hostname
	}
	return fmt.Sprintf("%s:%d", name, r.port)
}

// refusal is why a stream is not let in.
type refusal struct {
	result stream.Result
	reason string
	code   tunnel.Code
	err    error
}

// resolver finds exports; *exports.Table is one.
type resolver interface {
	Resolve(target wire.Target, port uint16) (exports.Export, error)
}

// judge decides about requests, by what is exported and allowed now.
type judge struct {
	// allows is the gateway's own allow-list.
	allows   func(identity string) bool
	exported resolver
	// dryRun lets pass what allow-lists deny.
	dryRun bool
}

// decision is what a judge says of a request.
type decision struct {
	export exports.Export
	// tried is why an allow-list that is only being tried would have denied it; the first of them counts.
	tried string
	// no is nil for who is let in.
	no *refusal
}

// decide judges a request. The gateway's allow-list comes first, so that a client that may call nothing
// learns nothing.
func (j judge) decide(r request) decision {
	var d decision
	if !j.allows(r.client) && d.deny(j.dryRun, stream.ReasonClientNotAllowed, errNotAllowed) {
		return d
	}
	if r.malformed != nil {
		d.no = &refusal{stream.Refused, targetReason(r.malformed), tunnel.CodeNotExported, r.malformed}
		return d
	}
	export, err := j.exported.Resolve(r.target, r.port)
	reason := exports.ReasonOf(err)
	if err != nil && reason != exports.ReasonNoEndpoints {
		d.no = &refusal{stream.Refused, string(reason), tunnel.CodeNotExported, err}
		return d
	}
	d.export = export
	if !export.Allows(r.client) && d.deny(j.dryRun, stream.ReasonExportNotAllowed, errNotAllowedHere) {
		return d
	}
	if err != nil {
		d.no = &refusal{stream.Refused, string(reason), tunnel.CodeUnreachable, err}
	}
	return d
}

var (
	errNotAllowed     = errors.New("the client is not on the gateway's allow-list")
	errNotAllowedHere = errors.New("the client is not on the allow-list of the Service, its annotation " + v1alpha3.AnnotationAllowedClients)
)

// deny says whether an allow-list's denial counts.
func (d *decision) deny(dryRun bool, reason string, err error) bool {
	if dryRun {
		d.tried = cmp.Or(d.tried, reason)
		return false
	}
	d.no = &refusal{stream.Denied, reason, tunnel.CodeDenied, err}
	return true
}

func targetReason(err error) string {
	if bad, ok := errors.AsType[*wire.Error](err); ok {
		return string(bad.Reason)
	}
	return string(wire.ReasonTarget)
}

// stillGranted says whether a stream that is open would be let in today. An application without ready
// endpoints keeps the streams that it has.
func (j judge) stillGranted(r request) bool {
	no := j.decide(r).no
	return no == nil || no.reason == string(exports.ReasonNoEndpoints)
}
