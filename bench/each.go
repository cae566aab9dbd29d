package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// each compares `reflex db upgrade head --each` with a shell loop of alembic
// and with xargs -P 2, on PostgreSQL databases: new ones, which take twenty
// revisions, and ones that are up to date. Then it measures how much memory a
// worker has more after a thousand SQLite databases than after ten.
func (b bench) each(dir string, databases, upToDate, memory int) error {
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
	if err := b.eachPostgreSQL(project, databases, upToDate); err != nil {
		return err
	}
	return b.eachMemory(project, memory)
}

func (b bench) eachPostgreSQL(project string, databases, upToDate int) error {
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
		{"alembic, xargs -P 2", `xargs -P 2 -n 1 sh -c '` + one + `' "$ALEMBIC" <"$LIST"`},
		{"reflex db --each", `"$REFLEX" db upgrade head --each "$LIST" >/dev/null 2>&1`},
	}
	fmt.Println()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "databases\trevisions\tway\tseconds\tof the loop\t")
	run := func(count, revisions int, list func(way int) (string, error)) error {
		loop := 0.0
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
			fmt.Fprintf(table, "%d\t%d\t%s\t%.1f\t1/%.1f\t\n", count, revisions, way.name, used.wall.Seconds(), loop/used.wall.Seconds())
		}
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

// eachMemory follows a worker through many databases.
func (b bench) eachMemory(project string, databases int) error {
	if runtime.GOOS != "linux" {
		return nil // which alone tells what another process has in memory
	}
	var lines strings.Builder
	for i := range databases {
		fmt.Fprintf(&lines, "sqlite:///%s/m%d.db\n", project, i)
	}
	list := filepath.Join(project, "memory.txt")
	if err := os.WriteFile(list, []byte(lines.String()), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(b.reflex, "db", "upgrade", "+2", "--jobs", "1", "--each", list)
	cmd.Dir, cmd.Env = project, b.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	start := time.Now()
	var early, late float64
	ended := 0
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		switch ended++; ended {
		case 10:
			early, err = resident(cmd.Process.Pid)
		case databases - 10:
			late, err = resident(cmd.Process.Pid)
		}
		if err != nil {
			break
		}
	}
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return err
	}
	fmt.Printf("\na worker: %.1f MB after 10 SQLite databases, %.1f MB after %d (%+.1f MB), %.0f ms for each\n",
		early, late, databases-10, late-early, time.Since(start).Seconds()*1000/float64(databases))
	return nil
}

// resident is the memory of the one child of a process, in MB.
func resident(parent int) (float64, error) {
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, file := range children {
		text, err := os.ReadFile(file)
		pid := strings.TrimSpace(string(text))
		if err != nil || pid == "" {
			continue
		}
		text, err = os.ReadFile("/proc/" + pid + "/statm")
		if err != nil {
			return 0, err
		}
		pages, err := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
		return pages * float64(os.Getpagesize()) / 1e6, err
	}
	return 0, errors.New("the worker is not found")
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
