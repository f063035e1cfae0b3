// Package follow lists and watches objects of an API server, for as long as there is one, and hands them to whoever keeps
// what matters of them.
//
// It is made of reflectors, the lower half of client-go's informers. The upper half would keep a second copy of each
// object, and the typed clients, like controller-runtime, link every kind of Kubernetes into the program, which would
// double its size.
//
// It owns how lists and watches are made, repeated after failures, and told of: once at the beginning of an outage and
// once at its end. It must never keep an object, nor decide what an outage means: what was seen last stays.
//
// Each reflector calls its Feed from one goroutine; those of several reflectors run at the same time.
package follow
