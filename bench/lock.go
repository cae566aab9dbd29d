package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// lockCost compares `upgrade head` with the migration lock and without, on a
// PostgreSQL of this machine, where each revision commits. What the lock may
// cost is 10 ms a run and one question a revision.
func (b bench) lockCost(dir string, pairs int) error {
	server, err := pgtest.New()
	if err != nil {
		return err
	}
	defer server.Remove()
	url := strings.Replace(server.URL("postgres"), "postgresql:", "postgresql+psycopg:", 1)
	b.env = append(b.env, "REFLEX_DB_URL="+url)

	fmt.Println()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "revisions to run\tpairs\t--no-lock ms\tlock ms\twall\tms more\tof those a revision\t")
	for _, revisions := range []int{0, 100} {
		project := filepath.Join(dir, fmt.Sprintf("lock%d", revisions))
		if err := b.makeProject(project, max(revisions, 1)); err != nil {
			return err
		}
		if err := commitEach(project); err != nil {
			return err
		}
		if err := b.compareLock(table, project, revisions, pairs); err != nil {
			return err
		}
	}
	return table.Flush()
}

func (b bench) compareLock(table *tabwriter.Writer, project string, revisions, pairs int) error {
	start := "head"
	if revisions > 0 {
		start = "base"
	}
	upgrade := func(options ...string) (float64, error) {
		if _, err := b.measure(project, b.reflex, "db", "stamp", "--purge", "--no-lock", start); err != nil {
			return 0, err
		}
		used, err := b.measure(project, b.reflex, append([]string{"db", "upgrade", "head"}, options...)...)
		return used.wall.Seconds() * 1000, err
	}
	var with, without, ratios, more []float64
	for i := range pairs + 1 {
		plain, err := upgrade("--no-lock")
		if err != nil {
			return err
		}
		locked, err := upgrade()
		if err != nil {
			return err
		}
		if i == 0 { // the warm-up
			continue
		}
		with, without = append(with, locked), append(without, plain)
		ratios, more = append(ratios, locked/plain), append(more, locked-plain)
	}
	each := "-"
	if revisions > 0 {
		each = fmt.Sprintf("%.2f", median(more)/float64(revisions))
	}
	_, err := fmt.Fprintf(table, "%d\t%d\t%.0f\t%.0f\t%.2f\t%+.1f\t%s\t\n",
		revisions, pairs, median(without), median(with), median(ratios), median(more), each)
	return err
}

// commitEach gives each revision of a project a transaction of its own.
func commitEach(project string) error {
	file := filepath.Join(project, "alembic", "env.py")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text = bytes.ReplaceAll(text, []byte("context.configure(\n"), []byte("context.configure(\n        transaction_per_migration=True,\n"))
	return os.WriteFile(file, text, 0o644)
}
