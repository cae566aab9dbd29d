package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// each compares `reflex db upgrade head --each` with a shell loop of alembic
// on PostgreSQL databases: new ones, which take twenty revisions, and ones that are up to
// date. On two cores 1/8 and 1/14 of the loop are expected.
func (b bench) each(dir string, databases, upToDate int) error {
	project := filepath.Join(dir, "each")
	if err := os.Mkdir(project, 0o755); err != nil {
		return err
	}
	if _, err := b.measure(project, b.reflex, "db", "init"); err != nil {
		return err
	}
	if err := writeTables(project, 20); err != nil {
		return err
	}
	server, err := pgtest.New(pgtest.Setting("max_connections", "100"))
	if err != nil {
		return err
	}
	defer server.Remove()
	conn, err := pgx.Connect(context.Background(), server.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	create := func(prefix string, n int, template string) (file string, err error) {
		var lines strings.Builder
		for i := range n {
			name := fmt.Sprintf("%s%d", prefix, i)
			if _, err := conn.Exec(context.Background(), "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
				return "", err
			}
			fmt.Fprintln(&lines, strings.Replace(server.URL(name), "postgresql:", "postgresql+psycopg:", 1))
		}
		file = filepath.Join(project, prefix+".txt")
		return file, os.WriteFile(file, []byte(lines.String()), 0o600)
	}

	// The shell gives each line to alembic as it gives it to reflex, in a variable.
	const one = `REFLEX_DB_URL="$1" "$0" upgrade head >/dev/null 2>&1 || exit 255`
	ways := []struct{ name, script string }{
		{"alembic, a loop", `while read url; do sh -c '` + one + `' "$ALEMBIC" "$url" || exit 1; done <"$LIST"`},
		{"reflex db --each", `"$REFLEX" db upgrade head --each "$LIST" >/dev/null 2>&1`},
	}
	fmt.Println()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "databases\trevisions\tway\tseconds\tof the loop\t")
	run := func(count, revisions int, list func(way int) (string, error)) error {
		loop := 0.0
		plotted := group{Title: fmt.Sprintf("upgrade head, PostgreSQL, %d databases, %d revisions to run in each", count, revisions)}
		for i, way := range ways {
			file, err := list(i)
			if err != nil {
				return err
			}
			with := b
			with.env = append(b.env[:len(b.env):len(b.env)], "ALEMBIC="+b.alembic, "REFLEX="+b.reflex, "LIST="+file)
			used, err := with.measure(project, "sh", "-c", way.script)
			if err != nil {
				return err
			}
			if i == 0 {
				loop = used.wall.Seconds()
			}
			plotted.Bars = append(plotted.Bars, bar{way.name, used.wall.Seconds() / loop, fmt.Sprintf("1/%.1f", loop/used.wall.Seconds())})
			fmt.Fprintf(table, "%d\t%d\t%s\t%.1f\t1/%.1f\t\n", count, revisions, way.name, used.wall.Seconds(), loop/used.wall.Seconds())
		}
		b.plot.Groups = append(b.plot.Groups, plotted)
		return table.Flush()
	}
	err = run(databases, 20, func(way int) (string, error) {
		return create(fmt.Sprintf("new%d_", way), databases, "template1")
	})
	if err != nil {
		return err
	}
	done, err := create("done", upToDate, "new0_0")
	if err != nil {
		return err
	}
	return run(upToDate, 0, func(int) (string, error) { return done, nil })
}

// writeTables writes revisions that make a table each.
func writeTables(project string, revisions int) error {
	previous := "None"
	for i := range revisions {
		id := fmt.Sprintf("%04d", i+1)
		source := fmt.Sprintf(`import sqlalchemy as sa
from alembic import op

revision, down_revision = "%[1]s", %[2]s


def upgrade():
    op.create_table("t%[1]s", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40)))


def downgrade():
    op.drop_table("t%[1]s")
`, id, previous)
		if err := os.WriteFile(filepath.Join(project, "alembic", "versions", id+".py"), []byte(source), 0o644); err != nil {
			return err
		}
		previous = strconv.Quote(id)
	}
	return nil
}
