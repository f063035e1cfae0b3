package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// transportProtocol is what a client and a gateway agree on by ALPN (compat-linkerd, section 6).
const transportProtocol = "transport.l5d.io/v1"

// handshake is the TLS part of a probe: how each connection through a gateway begins, without the
// header that would follow. A gateway takes that for a health check.
type handshake struct {
	// address is the gateway's port for traffic.
	address netip.AddrPort
	// identity is the name that the gateway must prove.
	identity string
	// config belongs to others and is never changed.
	config *tls.Config
}

// shake makes one handshake, on a connection of its own, and says when the gateway's certificates
// expire. All of it ends with ctx.
func (h *handshake) shake(ctx context.Context, dial Dialer) (expiry, *failure) {
	conn, err := dial(ctx, "tcp", h.address.String())
	if err != nil {
		return expiry{}, &failure{step: StepConnect, doing: "connecting", cause: err}
	}
	defer closeConn(conn)
	// Closing is what ends a read or write that hangs. What crypto/tls says at its own Close is said in
	// refusal, so closing the connection under it is an orderly end.
	defer context.AfterFunc(ctx, func() { closeConn(conn) })()

	config := h.fresh()
	client := tls.Client(conn, config)
	if err := client.HandshakeContext(ctx); err != nil {
		return h.expiryDespite(err), h.failed(err, now(config))
	}
	state := client.ConnectionState()
	return expiryOf(state.PeerCertificates, state.VerifiedChains), h.refusal(client)
}

// fresh is the configuration for one handshake that is a whole one. A resumed session would show
// nothing of a certificate that was replaced or an issuer that expired since (CERT-16).
func (h *handshake) fresh() *tls.Config {
	config := h.config.Clone()
	config.ServerName = h.identity
	config.NextProtos = []string{transportProtocol}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS13)
	config.ClientSessionCache = nil
	config.SessionTicketsDisabled = true
	verify := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		// First, because these errors name the fault.
		if err := h.verify(state); err != nil || verify == nil {
			return err
		}
		return verify(state)
	}
	return config
}

// verify asks for the exact name and the protocol, whatever else the configuration does.
func (h *handshake) verify(state tls.ConnectionState) error {
	if !proves(state.PeerCertificates, h.identity) {
		return errWrongName{certificates: state.PeerCertificates, identity: h.identity}
	}
	if state.NegotiatedProtocol != transportProtocol {
		return errNoProtocol
	}
	return nil
}

// proves says whether the first certificate names the identity itself: a wildcard is no identity.
func proves(certificates []*x509.Certificate, identity string) bool {
	return len(certificates) > 0 && slices.ContainsFunc(certificates[0].DNSNames, func(name string) bool {
		return strings.EqualFold(name, identity)
	})
}

// refusal says whether the gateway turned us away after the handshake: in TLS 1.3 a client is done
// before the server has looked at the client's certificate (RFC 8446, section 4.4). We say that we
// send nothing more, and a gateway answers with its refusal or with its own end, one round trip
// later. One that does neither costs the rest of the timeout, and has passed.
func (h *handshake) refusal(client *tls.Conn) *failure {
	_ = client.CloseWrite() // what is wrong with it, Read knows better
	_, err := client.Read(make([]byte, 1))
	said, ok := alertOf(err)
	if !ok {
		return nil
	}
	return &failure{step: StepTLS, answered: true, cause: explained{text: refusalText(said, h.identity), cause: err}}
}

// failed explains an error of the handshake. What is not the other side's word may yet be a timeout.
func (h *handshake) failed(err error, now time.Time) *failure {
	if text, ok := h.text(err, now); ok {
		return &failure{step: StepTLS, answered: true, cause: explained{text: text, cause: err}}
	}
	return &failure{step: StepTLS, doing: "the TLS handshake", cause: brokenOff(err)}
}

// brokenOff leaves errors of the network alone, which plainCause knows.
func brokenOff(err error) error {
	opErr, ok := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return explained{text: "the connection was closed during the handshake", cause: err}
	case ok && opErr.Op != "local error":
		return err
	case ok: // what crypto/tls could not accept
		err = opErr.Err
	}
	return explained{text: "the handshake failed: " + cleaned(err.Error()), cause: err}
}

// expiryDespite is what a handshake that failed still shows: dates are best known when they are the
// fault. Certificates without the identity are those of somebody else.
func (h *handshake) expiryDespite(err error) expiry {
	unverified, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || !isDate(err) || !proves(unverified.UnverifiedCertificates, h.identity) {
		return expiry{}
	}
	return expiryOf(unverified.UnverifiedCertificates, nil)
}

// now is the time by the clock that judged the certificates.
func now(config *tls.Config) time.Time {
	if config.Time != nil {
		return config.Time()
	}
	return time.Now()
}

// unready is a fault of ours that keeps us from trying a handshake. It says nothing about the gateway.
type unready struct{ cause error }

func (e unready) Error() string {
	return fmt.Sprintf("no TLS handshake could be tried: %s", cleaned(e.cause.Error()))
}

func (e unready) Unwrap() error { return e.cause }

func isUnready(err error) bool {
	_, ok := errors.AsType[unready](err)
	return ok
}
