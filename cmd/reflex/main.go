// Command reflex runs Alembic on the database that REFLEX_DB_URL names.
//
// The data goes one way. db.go finds the project's Python (package embedpy) and calls
// the driver in it (pyshim/reflex_driver) with the arguments as they came. The driver is
// the command: it parses, runs, reports, and returns the exit status.
//
// These settings keep Go from opening the files of its control group, and from a thread
// that reads them. A Python program could notice both.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import "os"

func main() { os.Exit(run(os.Args)) }
