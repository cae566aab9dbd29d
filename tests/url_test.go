package tests

import (
	"bytes"
	"fmt"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// TestURLThatCannotWork: what SQLAlchemy hands to the driver as it is gets an
// answer that says how to write it, in place of a name that was not found.
// session and reflex_orm answer the same (tests/urls).
func TestURLThatCannotWork(t *testing.T) {
	t.Parallel()
	env := venv.Get(t, venv.Newest(t), requirements...)
	environment := venv.CleanEnv(
		"PATH="+reflexDir(t)+string(os.PathListSeparator)+os.Getenv("PATH"),
		"HOME="+t.TempDir(), "LANG=C.UTF-8", "VIRTUAL_ENV="+env.Dir)
	good := goodProject(t, append(environment, "REFLEX_DB_URL=sqlite:///app.db"))
	run := func(t *testing.T, database string) (stderr string, err error) {
		cmd := exec.Command(filepath.Join(reflexDir(t), "reflex"), "db", "current")
		cmd.Dir, cmd.Env = good, append(environment, "REFLEX_DB_URL="+database)
		var out bytes.Buffer
		cmd.Stderr = &out
		err = cmd.Run()
		return out.String(), err
	}
	server := pgtest.Shared(t)
	parts, err := neturl.Parse(server.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(parts.Path, "/")
	for _, bad := range []struct{ driver, rest, advice string }{
		{"psycopg", "%2Fvar%2Frun/" + name, "?host=/directory"},
		{"asyncpg", "%2Fvar%2Frun/" + name, "?host=/directory"},
		{"psycopg2", "/" + name + "?host=[::1]:5433", "?host=::1&port=5432"},
		{"asyncpg", "/" + name + "?host=[::1]:5433", "?host=::1&port=5432"},
		{"psycopg", "/" + name + "?host=h1.invalid:5432,h2.invalid:5433", "?host=h1:5432&host=h2:5433"},
		{"asyncpg", "/" + name + "?host=h1.invalid:5432,h2.invalid:5433", "?host=h1:5432&host=h2:5433"},
		{"psycopg", "/" + name + "?host=/nowhere/.s.PGSQL.5432", "?host=/directory&port=5432"},
		{"psycopg2", parts.Host + "/" + name + "\nx", "line break"},
		{"asyncpg", parts.Host + "/" + name + "%0Ax", "line break"},
		{"psycopg2", parts.Host + "/nosuch", "There is no database nosuch on " + parts.Host},
	} {
		t.Run(bad.driver+"/"+bad.advice, func(t *testing.T) {
			stderr, err := run(t, "postgresql+"+bad.driver+"://"+parts.User.String()+"@"+bad.rest)
			if status(err) != 4 || !strings.Contains(stderr, bad.advice) {
				t.Errorf("status %d, without %q:\n%s", status(err), bad.advice, stderr)
			}
			if password, _ := parts.User.Password(); strings.Contains(stderr, ":"+password) {
				t.Errorf("the password is shown:\n%s", stderr)
			}
		})
	}

	t.Run("a name that has a line break", func(t *testing.T) {
		odd := pgx.Identifier{name + "\nx"}.Sanitize()
		server.Exec(t, "postgres", "CREATE DATABASE "+odd)
		defer server.Exec(t, "postgres", "DROP DATABASE "+odd+" WITH (FORCE)")
		for driver, written := range map[string]string{"psycopg": "%0Ax", "psycopg2": "%0Ax\n", "asyncpg": "\nx"} {
			if stderr, err := run(t, "postgresql+"+driver+"://"+parts.User.String()+"@"+parts.Host+"/"+name+written); err != nil {
				t.Errorf("%s, %q: %v\n%s", driver, written, err, stderr)
			}
		}
	})

	t.Run("a URL that is libpq's", func(t *testing.T) { // which takes what SQLAlchemy does not
		text := `import os, psycopg
from alembic import context
from sqlalchemy import create_engine
engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(os.environ["REFLEX_DB_URL"]))
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
`
		if err := os.WriteFile(filepath.Join(good, "alembic", "env.py"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		host := neturl.QueryEscape(server.Socket)
		if stderr, err := run(t, "postgresql://"+parts.User.String()+"@"+host+":"+parts.Port()+"/"+name); err != nil {
			t.Errorf("%v\n%s", err, stderr)
		}
	})
}

func status(err error) int {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return 0
}

// TestPasswordThatIsRefused: each driver says it in another way, and the server has
// been reached.
func TestPasswordThatIsRefused(t *testing.T) {
	server := pgtest.Start(t, pgtest.HBA("local all all trust", "host nosuch all 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"))
	place := fmt.Sprintf("127.0.0.1:%d", server.Port)
	p := newProject(t, "sqlite")
	for _, driver := range drivers[2:] {
		p.url = driver + "://app:wrong@" + place + "/postgres"
		p.start(t, "current").wantError(t, 4, "^Error: The password for app was refused by "+place+"\nNext: check the user and the password")
	}
	p.url = "postgresql+psycopg://app@" + place + "/postgres"
	p.start(t, "current").wantError(t, 4, "^Error: "+place+" asks for a password for app, and the URL has none")
	_, err := session.OpenURL(t.Context(), "postgresql://app:wrong@"+place+"/postgres")
	if err == nil || !strings.HasPrefix(err.Error(), "session: the password for app was refused: ") {
		t.Errorf("session: %v", err)
	}
	_, err = session.OpenURL(t.Context(), server.URL("nosuch"))
	if err == nil || !strings.HasPrefix(err.Error(), "session: there is no database nosuch: create it (createdb nosuch)") {
		t.Errorf("session: %v", err)
	}
}
