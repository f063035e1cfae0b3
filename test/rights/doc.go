// Package rights lists what each account of the product may do, and no more (LESSON-34, POL-7). The scenarios of
// test/e2e run with exactly this, and charts/test compares the charts with it.
//
// It is data: it must never talk to a cluster. Tests alone call it.
package rights
