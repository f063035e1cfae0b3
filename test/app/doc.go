// Command app is the sample application, and all that scenarios need inside of pods: one static program with a command
// for each part, so that one image serves all.
//
//	app web, app emoji, app voting           a front and two backends, which may be in two clusters
//	app traffic                              votes at a steady rate; tells what failed, for how long, and who answered
//	app echo-udp, greets-first, grpc, blob   other protocols: each has serve, and call, which says what came of it
//	app fetch, app resolve, app sleep        what one types in a shell, where there is no shell
//
// Servers are ready when /ready says so; at SIGTERM they are ready no more, go on for --drain, and end. What call, fetch and
// resolve print is JSON, or the answer itself; they end with 1 when anything was not as it must be.
//
// It owns the flags. It must never need anything but its arguments: no shell, no files, no API server.
package main
