// Package python runs the tests of the Python package reflex_orm, which are in
// pyshim/tests, on every interpreter and with both series of SQLAlchemy that it
// works with. They can be run by hand, in an environment with the requirements
// below:
//
//	go run ./tests/pgtest/run -replica sh -c 'cd pyshim && pytest'
package python

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestReflexORM(t *testing.T) {
	server := pgtest.Shared(t)
	replica := pgtest.Replica(t, server)
	drivers := []string{"alembic", "psycopg[binary]", "asyncpg", "aiosqlite", "sqlmodel", "pytest"}
	pythons := venv.Interpreters(t)
	for i, python := range pythons {
		for _, sqlalchemy := range []string{"sqlalchemy[asyncio]>=2.0.30,<2.1", "sqlalchemy[asyncio]>=2.1,<2.2"} {
			t.Run(python.Minor()+" "+sqlalchemy, func(t *testing.T) {
				requirements := append([]string{sqlalchemy}, drivers...)
				if i == len(pythons)-1 {
					requirements = append(requirements, "mypy") // the types are checked once
				}
				env := venv.Get(t, python, requirements...)
				pytest := exec.Command(env.Bin("python"), "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider")
				pytest.Dir = filepath.Join(venv.Root(), "pyshim")
				pytest.Env = venv.CleanEnv(
					"REFLEX_TEST_PG_URL="+server.URL("postgres"),
					"REFLEX_TEST_PG_REPLICA_URL="+replica.URL("postgres"),
				)
				out, err := pytest.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				t.Logf("%s", out)
			})
		}
	}
}
