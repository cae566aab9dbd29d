// Package sessiontest gives each test a PostgreSQL database of its own, with the
// schema of a project that migrates with Alembic.
//
//	func TestOrders(t *testing.T) {
//		t.Parallel()
//		pool := sessiontest.Pool(t, sessiontest.Project("../shop"))
//		…
//	}
//
// REFLEX_TEST_DB_URL names the server, as a SQLAlchemy URL like REFLEX_DB_URL:
//
//	REFLEX_TEST_DB_URL=postgresql+psycopg://postgres:secret@localhost/postgres go test ./...
//
// Its role must be allowed to create databases, and the database that it names must
// be reached without a pooler; nothing is written to that one. A server for tests
// alone is best: its settings may be fast rather than safe (fsync=off).
//
// # Templates and clones
//
// `reflex db upgrade head` fills a template database once, and each test gets a
// clone of it, which takes some tens of milliseconds. A template is for one state of
// the project's revisions: a hash of its script directories (those with an env.py),
// alembic.ini and pyproject.toml. What else decides over the schema, such as version
// locations elsewhere, SQL files or modules that revisions read, is named with
// [Reads]. Go's cache of test results sees no change outside of the module: where
// the project stands outside, run with -count=1 after a new revision.
//
// Tests and whole processes may run in parallel: the first one fills the template,
// the others wait for it. A clone is dropped with its test; clones that a killed
// process left, and templates of earlier states, are dropped by a later one. All of
// them are named reflex_test_…, so that they are easy to find.
package sessiontest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reflex-dev/reflex-orm/session"
)

// EnvURL is the variable that names the server.
const EnvURL = "REFLEX_TEST_DB_URL"

// A Template is what databases are cloned from: a project, at a revision.
type Template struct {
	dir     string
	command string
	target  string
	reads   []string
}

// An Option changes how a project becomes a template.
type Option func(*Template)

// Project is the project in a directory, relative to that of the test: the one in
// which `reflex db upgrade head` is run.
func Project(dir string, opts ...Option) *Template {
	template := &Template{dir: dir, command: "reflex", target: "head"}
	for _, option := range opts {
		option(template)
	}
	return template
}

// Command is the command to run in place of reflex on PATH: a name to look up there,
// or a path.
func Command(name string) Option {
	return func(t *Template) { t.command = name }
}

// Upgrade is the revision to upgrade to in place of head, such as heads.
func Upgrade(revision string) Option {
	return func(t *Template) { t.target = revision }
}

// Reads are further files and directories, relative to the project, whose content
// decides over the schema.
func Reads(paths ...string) Option {
	return func(t *Template) { t.reads = append(t.reads, paths...) }
}

// Pool is a pool on a database of the test's own. Both end with the test, which
// fails if there is no server, or if the upgrade fails.
func Pool(t testing.TB, template *Template, opts ...session.Option) *pgxpool.Pool {
	t.Helper()
	pool, err := session.OpenURL(t.Context(), URL(t, template), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Error("sessiontest: a connection of the pool is still in use: rows or a transaction were not closed")
		}
	})
	return pool
}

// URL is the URL of a database of the test's own, for what opens its pool itself:
//
//	t.Setenv(session.EnvURL, sessiontest.URL(t, sessiontest.Project("../shop")))
//
// The database ends with the test, and so do the connections that are left to it.
func URL(t testing.TB, template *Template) string {
	t.Helper()
	url, drop, err := clone(t.Context(), template)
	if err != nil {
		t.Fatalf("sessiontest: %v", err)
	}
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Errorf("sessiontest: %v", err)
		}
	})
	return url
}

func clone(ctx context.Context, template *Template) (url string, drop func() error, err error) {
	if os.Getenv(EnvURL) == "" {
		return "", nil, fmt.Errorf("%s is not set: it names a PostgreSQL server for tests, "+
			"as postgresql+psycopg://postgres:secret@localhost/postgres", EnvURL)
	}
	server, err := serverAt(os.Getenv(EnvURL))
	if err != nil {
		return "", nil, err
	}
	absolute := *template
	if absolute.dir, err = filepath.Abs(template.dir); err != nil {
		return "", nil, err
	}
	if filepath.Base(template.command) != template.command { // relative to the test, not to the project
		if absolute.command, err = filepath.Abs(template.command); err != nil {
			return "", nil, err
		}
	}
	source, err := server.filled(&absolute)
	if err != nil {
		return "", nil, err
	}
	return server.clone(ctx, source)
}
