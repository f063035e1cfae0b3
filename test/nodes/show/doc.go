// Command show starts two clusters with real nodes, in which nothing of ours is installed, and stays until Ctrl-C:
//
//	go run ./test/nodes/show                # a shell's way in is printed
//	go run ./test/nodes/show -walkthrough   # docs/walkthrough.md is performed first, up to where it cleans up
//	go run ./test/nodes/show -check         # only says whether this machine can do that
//
// It owns what it prints. It must never leave anything of the clusters behind: see package nodes.
package main
