// Command bench measures `mirror controller` against real API servers and prints one table.
//
//	make bench                       1000 exported and 1000 unexported services
//	make bench SERVICES=5000 IDLE=10m
//	make bench ARGS='-only cold,gateway -o json'
//
// It starts two clusters, each with an etcd of its own, and runs the controller as a process of its
// own, with an account that may do what the controller needs and no more. Each section is measured
// with a controller that was started for it. The floor is what any controller must do: the very
// objects that the plan asks for, written by a plain client with the same account and parallelism.
//
// Everything shares one machine, so the API servers and their etcds compete with the controller for
// processors, and absolute times say as much about the machine as about the product. The ratio to
// the floor, the requests and the memory carry over.
//
// The package owns what is measured and how it is printed. It must never judge by exit status: a
// missed goal is a line in the table, and status 1 means that something did not work. Every wait has
// a deadline. A world and what is measured in it belong to one goroutine; a feed and a process hand
// over what they saw through channels.
package main
