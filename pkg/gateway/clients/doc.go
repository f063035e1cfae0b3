// Package clients decides whether the identity of a client is on an allow-list.
//
// It owns the syntax of allow-lists, which are found in options, in files and in annotations of
// exported Services, and what their entries match (POL-13):
//
//   - an identity, such as web.shop.serviceaccount.identity.linkerd.cluster.local, matches itself;
//   - *.shop.serviceaccount.identity.linkerd.cluster.local matches every identity that has one or more
//     whole labels in front of what follows the star;
//   - * alone matches every identity.
//
// Letters are compared without regard to case, as in DNS. Whoever has no identity is not on any list,
// and a list without entries allows nobody: what was left out or could not be parsed opens nothing.
//
// The package is pure: it must never read a file, ask anybody, log, or learn where an identity comes
// from. To be one is a matter of certificates, which are verified before. A List is never changed after
// it is made, and is safe for concurrent use.
package clients
