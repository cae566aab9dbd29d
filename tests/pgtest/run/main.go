// Command run gives a command a PostgreSQL of its own:
//
//	go run ./tests/pgtest/run [-replica] COMMAND [ARG...]
//
// The command finds it in REFLEX_TEST_PG_URL, and with -replica a hot standby
// in REFLEX_TEST_PG_REPLICA_URL. Both are gone when it ends.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

func main() {
	replica := flag.Bool("replica", false, "start a hot standby as well")
	flag.Parse()
	if err := run(*replica, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(withReplica bool, command []string) error {
	if len(command) == 0 {
		return fmt.Errorf("usage: run [-replica] COMMAND [ARG...]")
	}
	server, err := pgtest.New(pgtest.Setting("max_connections", "200"), pgtest.Setting("max_prepared_transactions", "20"))
	if err != nil {
		return err
	}
	defer server.Remove()
	env := append(os.Environ(), "REFLEX_TEST_PG_URL="+server.URL("postgres"))
	if withReplica {
		replica, err := pgtest.NewReplica(server)
		if err != nil {
			return err
		}
		defer replica.Remove()
		env = append(env, "REFLEX_TEST_PG_REPLICA_URL="+replica.URL("postgres"))
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
