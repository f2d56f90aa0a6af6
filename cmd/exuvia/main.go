// Command exuvia turns a Python project into the smallest container image
// that still behaves like the project.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"exuvia/internal/cli"
	"exuvia/internal/engine/sandbox"
)

func main() {
	sandbox.Init() // does not return where this process is a sandbox's own
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, cli.Env{
		Args: os.Args, Getenv: os.Getenv, Environ: os.Environ(),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	stop()
	os.Exit(code)
}
