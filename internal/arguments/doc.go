// Package arguments says what is wrong with arguments that a command does not take.
//
// It owns the words of these errors, for the commands of all programs. It must never print.
// Its functions are of the type cobra.PositionalArgs, and keep nothing: any goroutine may call them.
package arguments
