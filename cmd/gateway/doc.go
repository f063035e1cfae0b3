// Command gateway carries streams between clusters (gateway ingress, gateway egress).
//
// It owns signals and the exit code, nothing else.
package main
