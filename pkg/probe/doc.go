// Package probe says, for every address of every Link's gateway, whether it is alive.
//
// It owns the probing of gateways and the resolving of their names. The package has four layers,
// and each is tested by itself:
//
//   - Check is one probe of one address. Its error names the step that failed and the address.
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
