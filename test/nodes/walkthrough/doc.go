// Package walkthrough reads the commands of docs/walkthrough.md, so that what is documented is what is run.
//
// It must never know any of them: a page that changes needs no change here, unless a heading does that has a name here, or
// the folder for certificates. Nothing is shared between goroutines.
package walkthrough
