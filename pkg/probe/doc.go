// Package probe says, for every address of every Link's gateway, whether it is alive.
//
// It owns the probing of gateways and the resolving of their names. The package has four layers,
// and each is tested by itself:
//
//   - Check is one probe of one address by HTTP, and check adds a TLS handshake if there is one to
//     make. Their errors name the step that failed and the address.
//   - Machine turns results into verdicts. It is a pure step function.
//   - One loop per address probes it, and one loop per DNS name resolves it.
//   - Gateways starts and stops the loops as Links come, change and go, and keeps what they found.
//
// It must never read or write an API object, decide anything about endpoints, or let one gateway
// wait for another: its state is an input of the mirror's plan, and a change of state is announced.
//
// # Verdicts
//
// An address is Unknown until it has earned a verdict, so a restart takes nothing away, and a
// gateway that is dead from the start becomes Dead after the threshold. Verdicts outlive changes of
// the Link's probe settings. A name that no longer resolves keeps the addresses it last had. A
// name that has not resolved since the process started has none: Addresses then says less than an
// earlier process knew, and Problems names the name.
//
// # TLS
//
// With WithTLS a probe does what the traffic of a mirrored Service begins with: a handshake with the
// gateway's traffic port, in which the gateway must prove the Link's gatewayIdentity. It then says that
// nothing follows, and hangs up. What it can see is what is known by then: our anchors, the gateway's
// name and dates, the protocol, and, since a gateway answers our end with its own or with an alert,
// whether it accepts the certificate that we present. It cannot see whether the gateway lets us reach
// any Service: only a header would ask for that. A gateway that neither answers nor hangs up has passed.
//
// Each handshake is a whole one on a new connection: a resumed session would hide that a certificate
// or its issuer has expired since (CERT-16). A fault of our own certificates leaves all verdicts as
// they are, or one expired file on our side would take away every gateway at once.
//
// # Locking
//
// One lock, Gateways.mu, guards all state of all gateways. It is held for map work and for metrics
// only: never while dialing, resolving, logging or calling onChange. Loops work on values that they
// were given when they started, and a loop is replaced when its values change. A loop's context is
// cancelled under the lock and asked again under the lock before a result is recorded, so nothing
// is recorded, in state or in metrics, for a loop that was stopped.
//
// onChange is called by the goroutine of Start, one call at a time, without the lock; it may call
// any method of Gateways. Several changes of one Link may be announced as one.
package probe
