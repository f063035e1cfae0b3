// Package hack tests the scripts by which make and continuous integration run everything else: what they do when
// something fails, or is missing. It has no code of its own, and nobody imports it. What is in the folders below are
// packages of their own.
package hack
