// Package walkthrough reads the commands of docs/walkthrough.md, so that what is documented is what is run.
//
// It must never know any of them: a page that changes needs no change here. Nothing is shared between goroutines.
package walkthrough
