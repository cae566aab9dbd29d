// Command reflex runs Alembic on the database that REFLEX_DB_URL names.
//
// The data goes one way: the arguments to db.go, which finds and starts Python
// (package embedpy) and hands them to the driver in pyshim/reflex_driver; the
// driver's outcome comes back and becomes an exit status in exit.go.
//
// Go is kept from what a Python program could notice and this one has no use
// for: open files of its control group, and a thread that reads them.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"os"

	"github.com/reflex-dev/reflex-orm/embedpy"
)

func init() {
	embedpy.OnGuest(func(argv []string, again bool) int {
		return run(argv, &invocation{abort: os.Exit, entered: again})
	})
}

func main() {
	os.Exit(run(os.Args, &invocation{abort: os.Exit}))
}
