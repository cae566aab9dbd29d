package session_test

import (
	"bytes"
	"context"
	"errors"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// lines is what slog writes while a test runs; each line comes to the channel.
func lines(t *testing.T) <-chan string {
	t.Helper()
	l := make(lineWriter, 100)
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(l, nil)))
	t.Cleanup(func() {
		slog.SetDefault(before)
		log.SetOutput(os.Stderr) // which SetDefault changed, and doesn't change back
	})
	return l
}

type lineWriter chan string

func (l lineWriter) Write(line []byte) (int, error) {
	l <- string(bytes.TrimSpace(line))
	return len(line), nil
}

// The server behind a PgBouncer is down, and comes back. PgBouncer lets a client in
// where it knows the server's parameters, and refuses the first statement; where it
// doesn't, it refuses the client.
func TestWaitBehindAPgBouncer(t *testing.T) {
	server := pgtest.Start(t)
	through := pgtest.PgBouncer(t, server, server.URL("postgres"), "transaction",
		"server_login_retry = 1", "client_login_timeout = 1", "query_wait_timeout = 1")
	unknown := strings.TrimSuffix(through, "postgres") + "template1"
	server.Stop(syscall.SIGINT)
	for _, url := range []string{through, unknown} {
		refusedBy(t, url, "08P01")
	}
	said := lines(t)
	opened := make(chan error)
	for _, url := range []string{through, unknown} {
		go func() {
			pool, err := session.OpenURL(t.Context(), url, session.WithPgBouncer(), session.WithWait(time.Minute))
			if err == nil {
				pool.Close()
			}
			opened <- err
		}()
	}
	for range 2 {
		select {
		case line := <-said:
			if !strings.Contains(line, "waiting for the database's answer") || !strings.Contains(line, "08P01") {
				t.Error(line)
			}
		case err := <-opened:
			t.Fatalf("it did not wait: %v", err)
		}
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
}

// refusedBy waits until the pooler has found out that its server is down.
func refusedBy(t *testing.T, url, code string) {
	t.Helper()
	try := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		return conn.Ping(ctx)
	}
	var err error
	for range 20 {
		err = try()
		var server *pgconn.PgError
		if errors.As(err, &server) && server.Code == code {
			return
		}
	}
	t.Fatalf("%s: %v", url, err)
}

// What a pooler says of the request is no reason to wait.
func TestNoWaitForWhatAPgBouncerRefuses(t *testing.T) {
	server := pgtest.Start(t)
	through := pgtest.PgBouncer(t, server, server.URL("postgres"), "transaction", "server_login_retry = 1")
	for url, want := range map[string]string{
		through + "?application_name=a&options=-cwork_mem%3D1MB": "unsupported startup parameter",
		strings.TrimSuffix(through, "postgres") + "nowhere":      "does not exist",
	} {
		for range 2 { // the second time it is what PgBouncer remembers
			if _, err := session.OpenURL(t.Context(), url, session.WithWait(time.Hour)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", url, err)
			}
		}
	}
}

func TestTheLogTellsOfTheWaitForTheSchema(t *testing.T) {
	url := versions(t, "b")
	migration := open(t, url)
	said := lines(t)
	var group sync.WaitGroup
	group.Go(func() {
		pool, err := session.OpenURL(t.Context(), url, session.WithSchema(parse(t, line()), time.Minute))
		if err != nil {
			t.Error(err)
			return
		}
		pool.Close()
	})
	if got := <-said; !strings.Contains(got, "waiting for the migration") || !strings.Contains(got, "behind by 1 revision: c (about c)") ||
		!strings.Contains(got, "limit=1m0s") {
		t.Error(got)
	}
	if _, err := migration.Exec(t.Context(), "UPDATE alembic_version SET version_num = 'c'"); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if got := <-said; !strings.Contains(got, "is over") {
		t.Error(got)
	}
}
