// Package python runs the tests of the Python package reflex_orm, which are in
// pyshim/tests, on every interpreter, and with both series of SQLAlchemy that it
// works with. Those of the driver run on the oldest and the newest interpreter. They
// can be run by hand, in an environment with the requirements below:
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

// envCoverage is a directory for the data of coverage, which `make coverage` reads.
const envCoverage = "REFLEX_TEST_COVERAGE"

func TestReflexORM(t *testing.T) {
	var servers []string
	if !testing.Short() { // without a server, pytest skips what needs one
		// In a file, which the replica gets too; it must have no less than its primary.
		server := pgtest.Start(t, pgtest.File("postgresql.auto.conf", []byte("max_prepared_transactions = 20\n")))
		replica := pgtest.Replica(t, server)
		servers = []string{
			"REFLEX_TEST_PG_URL=" + server.URL("postgres"),
			"REFLEX_TEST_PG_REPLICA_URL=" + replica.URL("postgres"),
		}
	}
	pythons := venv.Interpreters(t)
	for i, python := range pythons {
		series := []string{"sqlalchemy[asyncio]<2.2"} // 2.1, but 2.0 on Python 3.10
		if i == len(pythons)-1 && !testing.Short() {
			series = append(series, "sqlalchemy[asyncio]<2.1")
		}
		for n, sqlalchemy := range series {
			t.Run(python.Version+" "+sqlalchemy, func(t *testing.T) {
				requirements := []string{sqlalchemy, "alembic", "psycopg[binary]", "asyncpg", "aiosqlite", "sqlmodel",
					"flask-sqlalchemy", "python-dotenv", "pytest", "mypy"}
				args := []string{"-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"}
				coverage := os.Getenv(envCoverage)
				if coverage != "" {
					requirements = append(requirements, "coverage")
					measured := []string{"-m", "coverage", "run", "--data-file=" + filepath.Join(coverage, "python"), "--source=reflex_driver,reflex_orm"}
					args = append(measured, args...)
				}
				env := venv.Get(t, python, requirements...)
				switch {
				case i > 0 && i < len(pythons)-1:
					// The driver's Python is that of the oldest and the newest, where it is
					// asked; the SQL of a lock and what mypy says are the same on each.
					args = append(args, "--ignore=tests/driver", "--ignore=tests/test_typing.py")
				case n > 0 && pythons[0].Minor() == "3.10": // which has run the whole driver on 2.0
					args = append(args, "--ignore-glob=tests/driver/test_[!il]*.py")
				}
				pytest := exec.Command(env.Bin("python"), args...)
				pytest.Dir = filepath.Join(venv.Root(), "pyshim")
				pytest.Env = venv.CleanEnv(servers...)
				out, err := pytest.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				t.Logf("%s", out)
				if coverage != "" {
					report := exec.Command(env.Bin("python"), "-m", "coverage", "report", "--data-file="+filepath.Join(coverage, "python"))
					report.Dir = pytest.Dir
					out, err := report.CombinedOutput()
					if err != nil {
						t.Errorf("%v", err)
					}
					t.Logf("%s", out)
				}
			})
		}
	}
}
