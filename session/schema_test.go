package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// line is a -> b -> c.
func line() []byte {
	return history("c", revision("a", "", ""), revision("b", "a", ""), revision("c", "b", ""))
}

// versions makes a database whose version table holds these rows.
func versions(t *testing.T, rows ...string) (url string) {
	t.Helper()
	url = pgtest.Shared(t).NewDatabase(t)
	pool := open(t, url)
	run := func(sql string) {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	run("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
	for _, row := range rows {
		run("INSERT INTO alembic_version VALUES ('" + row + "')")
	}
	return url
}

func missing(err error) (ids []string) {
	var behind *session.SchemaBehindError
	if errors.As(err, &behind) {
		for _, r := range behind.Missing {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func TestCheck(t *testing.T) {
	h := parse(t, line())
	for rows, want := range map[string]string{"c": "", "b": "c", "a": "b c", "": "a b c", "z": ""} {
		pool := open(t, versions(t, strings.Fields(rows)...))
		err := h.Check(t.Context(), pool)
		if got := strings.Join(missing(err), " "); got != want || (err == nil) != (want == "") {
			t.Errorf("at %q: %v", rows, err)
		}
	}
	err := h.Check(t.Context(), open(t, versions(t, "a")))
	if want := "behind by 2 revisions: b (about b), c (about c); run `reflex db upgrade heads`"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v", err)
	}
}

func TestCheckOnAConnectionAndInATransaction(t *testing.T) {
	h := parse(t, line())
	pool := open(t, versions(t, "c"))
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return errors.Join(h.Check(t.Context(), tx), h.Check(t.Context(), tx.Conn()))
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAheadIsSeen(t *testing.T) {
	url := versions(t, "z")
	pool := open(t, url)
	state, err := parse(t, line()).State(t.Context(), pool)
	if err != nil || state.Err() != nil || !slices.Equal(state.Ahead, []string{"z"}) {
		t.Errorf("%+v, %v", state, err)
	}
	var ahead *session.SchemaAheadError
	strict := parse(t, line(), session.RefuseAhead())
	if err := strict.Check(t.Context(), pool); !errors.As(err, &ahead) || !strings.HasSuffix(err.Error(), ": z") {
		t.Errorf("%v", err)
	}
	// An hour later it would be no better.
	if _, err := session.OpenURL(t.Context(), url, session.WithSchema(strict, time.Hour)); !errors.As(err, &ahead) {
		t.Errorf("%v", err)
	}
}

// b is a row, so c is missing whoever migrated; y may be all of another branch.
func TestAheadOnOneBranchAndBehindOnAnother(t *testing.T) {
	text := history("c e", revision("a", "", ""), revision("b", "a", ""), revision("c", "b", ""),
		revision("d", "", ""), revision("e", "d", ""))
	pool := open(t, versions(t, "b", "y"))
	if err := parse(t, text).Check(t.Context(), pool); !slices.Equal(missing(err), []string{"c"}) {
		t.Errorf("%v", err)
	}
	if err := parse(t, text, session.Branches("d")).Check(t.Context(), pool); err != nil {
		t.Errorf("%v", err)
	}
}

// A migration may make the version table's column longer, or text.
func TestCheckAfterTheVersionTableChanged(t *testing.T) {
	url := versions(t, "c")
	h := parse(t, line())
	pool, migration := open(t, url, session.WithMaxConns(1)), open(t, url)
	for _, kind := range []string{"varchar(32)", "varchar(255)", "text", "varchar(64)"} {
		if _, err := migration.Exec(t.Context(), "ALTER TABLE alembic_version ALTER version_num TYPE "+kind); err != nil {
			t.Fatal(err)
		}
		if err := h.Check(t.Context(), pool); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestNotMigrated(t *testing.T) {
	pool := open(t, pgtest.Shared(t).NewDatabase(t))
	for _, h := range []*session.History{
		parse(t, line()), parse(t, line(), session.VersionTable("no such schema", "t")),
	} {
		if err := h.Check(t.Context(), pool); !errors.Is(err, session.ErrNotMigrated) {
			t.Errorf("%v", err)
		}
	}
}

func TestVersionTableElsewhere(t *testing.T) {
	pool := open(t, versions(t, "c"))
	h := parse(t, line(), session.VersionTable(`Ver"sions`, "Of Alembic"))
	if _, err := pool.Exec(t.Context(), `CREATE SCHEMA "Ver""sions"; CREATE TABLE "Ver""sions"."Of Alembic" AS SELECT 'b' AS version_num`); err != nil {
		t.Fatal(err)
	}
	if err := h.Check(t.Context(), pool); !slices.Equal(missing(err), []string{"c"}) {
		t.Errorf("%v", err)
	}
}

// What waiting can't change fails at once, and says what it is.
func TestOpenFailsWhereTheTableCantBeRead(t *testing.T) {
	url := versions(t, "c")
	pool := open(t, url)
	if _, err := pool.Exec(t.Context(), "CREATE ROLE reader LOGIN"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pgtest.Shared(t).Exec(t, "postgres", "DROP ROLE reader") })
	_, err := session.OpenURL(t.Context(), strings.Replace(url, pgtest.User+":"+pgtest.Password, "reader", 1),
		session.WithSchema(parse(t, line()), time.Hour))
	if err == nil || !strings.HasPrefix(err.Error(), `session: reading the version table "alembic_version": `) ||
		!strings.Contains(err.Error(), "permission denied") {
		t.Errorf("%v", err)
	}
}

func TestOpenWaitsForTheSchema(t *testing.T) {
	for _, kind := range []string{"pooled", "pgbouncer"} {
		t.Run(kind, func(t *testing.T) {
			url := pgtest.Shared(t).NewDatabase(t) // without a version table
			migration := open(t, url)
			opts := []session.Option{session.WithSchema(parse(t, line()), time.Hour)}
			if kind == "pgbouncer" {
				opts = append(opts, session.WithPgBouncer())
			}
			opened := make(chan error, 1)
			go func() {
				pool, err := session.OpenURL(t.Context(), url, opts...)
				if err == nil {
					defer pool.Close()
					err = pool.Ping(t.Context())
				}
				opened <- err
			}()
			for _, sql := range []string{
				"SELECT 1",
				"CREATE TABLE alembic_version AS SELECT 'a' AS version_num",
				"UPDATE alembic_version SET version_num = 'c'",
			} {
				select {
				case err := <-opened:
					t.Fatalf("before %s: %v", sql, err)
				case <-time.After(100 * time.Millisecond):
				}
				if _, err := migration.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-opened; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWaitingEnds(t *testing.T) {
	url := versions(t, "b")
	h := parse(t, line())
	for _, limit := range []time.Duration{0, 200 * time.Millisecond} {
		_, err := session.OpenURL(t.Context(), url, session.WithSchema(h, limit))
		if !slices.Equal(missing(err), []string{"c"}) {
			t.Errorf("%s: %v", limit, err)
		}
		if strings.Contains(err.Error(), "after waiting 200ms") != (limit > 0) {
			t.Errorf("%s: %v", limit, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tries := 0
	_, err := session.OpenURL(ctx, url,
		session.WithAfterConnect(func(context.Context, *pgx.Conn) error {
			if tries++; tries == 2 {
				cancel()
			}
			return nil
		}),
		session.WithSchema(h, time.Hour))
	if !slices.Equal(missing(err), []string{"c"}) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := session.OpenURL(t.Context(), url, session.WithSchema(nil, 0)); err == nil {
		t.Error("no history is needed")
	}
}

// The server goes away and comes back while a service waits for the schema.
func TestWaitingOutlivesARestart(t *testing.T) {
	server := pgtest.Start(t)
	server.Exec(t, "postgres", "CREATE TABLE alembic_version AS SELECT 'b' AS version_num")
	asked := make(chan struct{}, 1000)
	opened := make(chan error, 1)
	go func() {
		pool, err := session.OpenURL(t.Context(), server.URL("postgres"),
			session.WithAfterConnect(func(context.Context, *pgx.Conn) error {
				asked <- struct{}{}
				return nil
			}),
			session.WithSchema(parse(t, line()), time.Hour))
		if err == nil {
			pool.Close()
		}
		opened <- err
	}()
	<-asked
	<-asked
	server.Restart(t)
	server.Exec(t, "postgres", "UPDATE alembic_version SET version_num = 'c'")
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// The history is one value for all; -race looks on.
func TestOneHistoryForMany(t *testing.T) {
	h := parse(t, line())
	pool := open(t, versions(t, "c"), session.WithMaxConns(4), session.WithSchema(h, 0))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				if err := h.Check(t.Context(), pool); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkCheck is what a readiness probe costs, beside a ping.
func BenchmarkCheck(b *testing.B) {
	url := pgtest.Shared(b).NewDatabase(b)
	pool, err := pgxpool.New(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(b.Context(), "CREATE TABLE alembic_version AS SELECT 'r999' AS version_num"); err != nil {
		b.Fatal(err)
	}
	revisions := []string{revision("r0", "", "")}
	for i := range 999 {
		revisions = append(revisions, revision(fmt.Sprint("r", i+1), fmt.Sprint("r", i), ""))
	}
	h, err := session.ParseHistory(history("r999", revisions...))
	if err != nil {
		b.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"check_1000_revisions": func() error { return h.Check(b.Context(), pool) },
		"ping":                 func() error { return pool.Ping(b.Context()) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
