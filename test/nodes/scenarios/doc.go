// Package scenarios tests the whole product on real nodes: our charts, installed by helm, run our images in pods of two
// clusters, and an application sends traffic from one to the other while things break. Each test is named by what a
// user would say.
//
// It owns the pair of clusters that all tests of a run share: see world. A test installs what it needs and leaves
// nothing of it behind, so that any test can run alone and in any order. It must never reach into our programs: what a
// user cannot see or do, a test here does not either.
//
// make e2e runs it, as root on Linux. Elsewhere all tests are skipped, and say why.
package scenarios
