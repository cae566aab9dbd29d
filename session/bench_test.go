package session_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

var benchGoroutines = []int{1, 8, 64}

// work is what both pools do, and SQLAlchemy in testdata/bench.py.
var work = []struct {
	name string
	do   func(ctx context.Context, pool *pgxpool.Pool) error
}{
	{"select 1", func(ctx context.Context, pool *pgxpool.Pool) error {
		var n int
		return pool.QueryRow(ctx, "SELECT 1").Scan(&n)
	}},
	{"read 100 rows", func(ctx context.Context, pool *pgxpool.Pool) error {
		rows, _ := pool.Query(ctx, "SELECT id, name FROM item ORDER BY id LIMIT 100")
		var id int
		var name string
		_, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error { return nil })
		return err
	}},
	{"insert 100 rows", func(ctx context.Context, pool *pgxpool.Pool) error {
		batch := &pgx.Batch{}
		for i := range 100 {
			batch.Queue("INSERT INTO log (n, text) VALUES ($1, $2)", i, "a line")
		}
		return pool.SendBatch(ctx, batch).Close()
	}},
}

// run shares n calls of do among goroutines.
func run(b *testing.B, pool *pgxpool.Pool, goroutines, n int, do func(context.Context, *pgxpool.Pool) error) {
	var group sync.WaitGroup
	for g := range goroutines {
		group.Go(func() {
			for i := g; i < n; i += goroutines {
				if err := do(b.Context(), pool); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// fill opens all of a pool's connections, which is no part of what is measured.
func fill(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()
	for range pool.Config().MaxConns {
		conn, err := pool.Acquire(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Release()
	}
}

// BenchmarkPool does the same work on a pool of session.OpenURL and on one of
// pgxpool.New, in turns, so that what else the machine does falls on both. It
// reports the time of each for one call, and the median of the turns' ratios.
func BenchmarkPool(b *testing.B) {
	url := benchDatabase(b)
	ours, err := session.OpenURL(b.Context(), url, session.WithMaxConns(8))
	if err != nil {
		b.Fatal(err)
	}
	defer ours.Close()
	theirs, err := pgxpool.New(b.Context(), url+"?pool_max_conns=8")
	if err != nil {
		b.Fatal(err)
	}
	defer theirs.Close()
	fill(b, ours)
	fill(b, theirs)
	for _, w := range work {
		for _, goroutines := range benchGoroutines {
			b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(w.name, " ", "_"), goroutines), func(b *testing.B) {
				n := 4 * max(goroutines, 16) // calls a turn
				var mine, plain float64
				turn := func(pool *pgxpool.Pool, total *float64) float64 {
					before := b.Elapsed()
					run(b, pool, goroutines, n, w.do)
					took := float64(b.Elapsed() - before)
					*total += took
					return took
				}
				var ratios []float64
				for i := 0; b.Loop(); i++ {
					if i%2 == 0 {
						took := turn(ours, &mine)
						ratios = append(ratios, took/turn(theirs, &plain))
					} else {
						took := turn(theirs, &plain)
						ratios = append(ratios, turn(ours, &mine)/took)
					}
				}
				slices.Sort(ratios)
				calls := float64(len(ratios) * n)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(mine/calls/1000, "session-µs")
				b.ReportMetric(plain/calls/1000, "pgxpool-µs")
				b.ReportMetric(ratios[len(ratios)/2], "ratio")
			})
		}
	}
}

// BenchmarkSQLAlchemy is the same work through SQLAlchemy's Session and psycopg,
// in threads, for the reader to compare.
func BenchmarkSQLAlchemy(b *testing.B) {
	url := benchDatabase(b)
	env := venv.Get(b, venv.Newest(b), "sqlalchemy>=2.1", "psycopg[binary]")
	for b.Loop() {
		cmd := exec.Command(env.Bin("python"), "testdata/bench.py")
		cmd.Env = venv.CleanEnv("REFLEX_DB_URL=" + url)
		cmd.Stderr = os.Stderr
		output, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(output)) {
			var name string
			var micros float64
			if _, err := fmt.Sscanf(line, "%s %f", &name, &micros); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(micros, name+"-µs")
		}
	}
	b.ReportMetric(0, "ns/op")
}

func benchDatabase(b *testing.B) string {
	b.Helper()
	url := pgtest.Shared(b).NewDatabase(b)
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	if _, err := conn.Exec(b.Context(), `
		CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL);
		INSERT INTO item SELECT n, 'item ' || n FROM generate_series(1, 1000) n;
		CREATE UNLOGGED TABLE log (n int, text text)`); err != nil {
		b.Fatal(err)
	}
	b.Logf("%s, %d CPUs", runtime.Version(), runtime.NumCPU())
	return url
}
