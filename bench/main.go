// Command bench compares `reflex db` with the alembic command of the same
// environment, in one run on one machine:
//
//	go run ./bench [-pairs 12] [-most 2000] [-databases 100] [-python python3] [-svg docs/pictures/bench.svg] [-instructions]
//
// The ways to start it take turns, A B C A B C, so that what else the machine does falls
// on all. Wall and CPU are medians of the ratios within a turn; memory is the peak of the
// process, as a difference. Then it runs with each state of the cache (cache.go), and where
// Python writes no bytecode (first.go); it shows what the migration lock costs on PostgreSQL
// (lock.go), that `reflex --help` and `reflex version --short` are quick and open no
// libpython, and how --each compares with a loop in the shell (each.go).
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// requirements of the environment that both commands run in.
var requirements = []string{"alembic==1.20.1", "sqlalchemy>=2.0.58,<2.2", "psycopg[binary]"}

// warmUps are the turns before what counts: the first writes .pyc files and what the
// interpreter says of itself, the second what the import of Alembic finds.
const warmUps = 2

// commands that are compared.
var commands = []string{"heads", "history", "current", "upgrade head"}

func main() {
	pairs := flag.Int("pairs", 12, "`pairs` of runs for a small project; a large one gets fewer")
	most := flag.Int("most", 2000, "leave out projects with more `revisions`")
	python := flag.String("python", "python3", "the `interpreter` to make the environment with")
	databases := flag.Int("databases", 100, "`databases` for --each; three times as many that are up to date")
	svg := flag.String("svg", "", "draw the times into this `file`")
	instructions := flag.Bool("instructions", false, "count instructions by valgrind too, in a minute and a half")
	flag.Parse()
	if err := run(*pairs, *most, *databases, *python, *svg, *instructions); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(pairs, most, databases int, python, svg string, instructions bool) error {
	root, err := output("go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "reflex-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env, err := environment(filepath.Join(root, ".cache", "bench"), python)
	if err != nil {
		return err
	}
	b := bench{
		reflex:  filepath.Join(dir, "reflex"),
		alembic: filepath.Join(env, "bin", "alembic"),
		env: append(clean(os.Environ()), "VIRTUAL_ENV="+env, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"),
			"REFLEX_DB_URL=sqlite:///app.db"),
		plot: &plot{},
	}
	build := exec.Command("go", "build", "-o", b.reflex, "./cmd/reflex")
	build.Dir = root
	build.Env = append(os.Environ(), "PKG_CONFIG="+filepath.Join(root, "embedpy", "capi", "pkg-config"))
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building reflex: %w\n%s", err, out)
	}
	console := filepath.Join(dir, "reflex-db")
	script := fmt.Sprintf(consoleScript, filepath.Join(env, "bin", "python"), filepath.Join(root, "pyshim"))
	if err := os.WriteFile(console, []byte(script), 0o755); err != nil {
		return err
	}
	b.ways = []way{
		{"embedded", "reflex db", []string{b.reflex, "db"}},
		{"become", "reflex db, as Python", []string{"sh", "-c", `ulimit -v 3900000; exec "$0" db "$@"`, b.reflex}},
		{"console", "reflex-db", []string{console}},
	}
	version := exec.Command(b.reflex, "version")
	version.Env = b.env
	if said, err := version.Output(); err != nil {
		return fmt.Errorf("%s: %w", version, err)
	} else if bytes.Contains(said, []byte("this Python uses none")) {
		fmt.Println("left out: embedded, because this Python uses no libpython")
		b.ways = b.ways[1:]
	}
	if err := b.compareAll(dir, pairs, most); err != nil {
		return err
	}
	if err := b.cached(dir, max(1, pairs/2)); err != nil {
		return err
	}
	if instructions {
		if err := b.countInstructions(dir); err != nil {
			return err
		}
	}
	if err := b.first(dir, max(1, pairs/2)); err != nil {
		return err
	}
	if err := b.lockCost(dir, pairs); err != nil {
		return err
	}
	if err := b.withoutPython(dir); err != nil {
		return err
	}
	if err := b.each(dir, databases, 3*databases); err != nil || svg == "" {
		return err
	}
	b.plot.Machine = fmt.Sprintf("Time beside alembic in the same turn, %s of %d CPUs, Python %s, %s",
		runtime.GOOS, runtime.NumCPU(), filepath.Base(env), strings.Join(requirements[:1], ", "))
	file, err := os.Create(svg)
	if err != nil {
		return err
	}
	return errors.Join(b.plot.draw(file), file.Close())
}

type bench struct {
	reflex, alembic string
	env             []string // of what is measured
	ways            []way
	plot            *plot
}

// way is a way to start the command: the words before Alembic's.
type way struct {
	name  string
	label string // in the plot
	argv  []string
}

// consoleScript is what pip makes of the Python package's script. With "become", a limit of
// address space has the program become the environment's Python, which it does by itself
// where that uses no libpython: so all run the same Python.
const consoleScript = `#!%s
import sys
sys.path.insert(0, %q)
from reflex_driver.console import main
del sys.path[0]
if __name__ == "__main__":
    sys.exit(main())
`

func (b bench) compareAll(dir string, pairs, most int) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "revisions\tcommand\tturns\talembic ms\tway\tms\twall\tCPU\tMB more\t")
	for _, revisions := range []int{3, 300, 2000} {
		if revisions > most {
			break
		}
		project := filepath.Join(dir, fmt.Sprint(revisions))
		if err := b.makeProject(project, revisions); err != nil {
			return err
		}
		n := pairs
		if revisions >= 2000 {
			n = max(3, pairs/3)
		}
		for _, command := range commands {
			if err := b.compare(table, project, revisions, strings.Fields(command), n); err != nil {
				return err
			}
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (b bench) compare(table *tabwriter.Writer, project string, revisions int, args []string, turns int) error {
	var alembic []float64
	walls, wall, cpu, more := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for i := range turns + warmUps {
		plain, err := b.measure(project, b.alembic, args...)
		if err != nil {
			return err
		}
		if i >= warmUps {
			alembic = append(alembic, plain.wall.Seconds()*1000)
		}
		for _, way := range b.ways {
			ours, err := b.measure(project, way.argv[0], append(way.argv[1:len(way.argv):len(way.argv)], args...)...)
			if err != nil {
				return err
			}
			if i < warmUps {
				continue
			}
			walls[way.name] = append(walls[way.name], ours.wall.Seconds()*1000)
			wall[way.name] = append(wall[way.name], ours.wall.Seconds()/plain.wall.Seconds())
			cpu[way.name] = append(cpu[way.name], ours.cpu.Seconds()/plain.cpu.Seconds())
			more[way.name] = append(more[way.name], ours.peak-plain.peak)
		}
	}
	plotted := group{fmt.Sprintf("%s, SQLite, %d revisions that are applied", strings.Join(args, " "), revisions), []bar{{"alembic", 1, "1"}}}
	for _, way := range b.ways {
		ratio := median(wall[way.name])
		plotted.Bars = append(plotted.Bars, bar{way.label, ratio, fmt.Sprintf("%.2f", ratio)})
		fmt.Fprintf(table, "%d\t%s\t%d\t%.0f\t%s\t%.0f\t%.2f\t%.2f\t%+.1f\t\n", revisions, strings.Join(args, " "), turns,
			median(alembic), way.name, median(walls[way.name]), median(wall[way.name]), median(cpu[way.name]), median(more[way.name]))
	}
	if slices.Equal(args, []string{"upgrade", "head"}) {
		b.plot.Groups = append(b.plot.Groups, plotted)
	}
	return nil
}

// usage is what one run of a command took.
type usage struct {
	wall, cpu time.Duration
	peak      float64 // MB
}

func (b bench) measure(dir, program string, args ...string) (usage, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, b.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", cmd, err, out.Bytes())
	}
	state := cmd.ProcessState
	rusage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return usage{}, errors.New("this system does not tell what a process used")
	}
	unit := 1024.0 // Maxrss is in KB on Linux, and in bytes on macOS
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return usage{wall, state.UserTime() + state.SystemTime(), float64(rusage.Maxrss) * unit / 1e6}, nil
}

// makeProject writes a project of Alembic's own with a line of revisions, and
// brings its database up to the last one.
func (b bench) makeProject(dir string, revisions int) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if _, err := b.measure(dir, b.alembic, "init", "alembic"); err != nil {
		return err
	}
	ini := filepath.Join(dir, "alembic.ini")
	text, err := os.ReadFile(ini)
	if err != nil {
		return err
	}
	text = bytes.ReplaceAll(text, []byte("driver://user:pass@localhost/dbname"), []byte("sqlite:///app.db"))
	if err := os.WriteFile(ini, text, 0o644); err != nil {
		return err
	}
	previous := "None"
	for i := range revisions {
		id := fmt.Sprintf("%04d", i)
		source := fmt.Sprintf(`"""revision %[1]s

Revision ID: %[1]s
Create Date: 2026-01-02 03:04:05.000000

"""
from alembic import op
import sqlalchemy as sa

revision = "%[1]s"
down_revision = %[2]s
branch_labels = None
depends_on = None


def upgrade():
    pass


def downgrade():
    pass
`, id, previous)
		if err := os.WriteFile(filepath.Join(dir, "alembic", "versions", id+"_.py"), []byte(source), 0o644); err != nil {
			return err
		}
		previous = fmt.Sprintf("%q", id)
	}
	_, err = b.measure(dir, b.alembic, "stamp", "head")
	return err
}

// withoutPython measures what must not load Python, and looks whether it does.
func (b bench) withoutPython(dir string) error {
	fmt.Println()
	for _, args := range [][]string{{"--help"}, {"version", "--short"}} {
		var walls []float64
		for range 20 {
			used, err := b.measure(dir, b.reflex, args...)
			if err != nil {
				return err
			}
			walls = append(walls, used.wall.Seconds()*1000)
		}
		fmt.Printf("reflex %-16s %5.1f ms, libpython %s\n", strings.Join(args, " "), median(walls), b.opensLibpython(dir, args))
	}
	return nil
}

// opensLibpython runs the command under the dynamic linker's own trace, which
// also sees what dlopen loads.
func (b bench) opensLibpython(dir string, args []string) string {
	if runtime.GOOS != "linux" {
		return "not looked for on " + runtime.GOOS
	}
	trace := func(args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, b.reflex, args...)
		cmd.Dir, cmd.Env = dir, append(slices.Clone(b.env), "LD_DEBUG=libs")
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	// So that an answer of no means something.
	if !strings.Contains(trace("version"), "libpython3") {
		return "can't be looked for here"
	}
	if strings.Contains(trace(args...), "libpython3") {
		return "OPENED"
	}
	return "not opened"
}

// environment makes the environment once; it is kept in dir. Its scripts hold its path: where
// several clones share one .cache by a link, this is no clone's.
func environment(dir, python string) (string, error) {
	version, err := output(python, "-c", "import platform; print(platform.python_version())")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	env := filepath.Join(dir, version)
	done, want := filepath.Join(env, "done"), strings.Join(append(requirements, env), "\n")
	if has, err := os.ReadFile(done); err == nil && string(has) == want {
		return env, nil
	}
	if _, err := output(python, "-m", "venv", "--clear", env); err != nil {
		return "", err
	}
	install := append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check"}, requirements...)
	if _, err := output(filepath.Join(env, "bin", "python"), install...); err != nil {
		return "", err
	}
	return env, os.WriteFile(done, []byte(want), 0o644)
}

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w", cmd, err)
	}
	return strings.TrimSpace(string(out)), err
}

// clean drops what would change how Python runs, such as
// PYTHONDONTWRITEBYTECODE, or which Python and which database are used.
func clean(environ []string) []string {
	return slices.DeleteFunc(environ, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "PYTHON") || strings.HasPrefix(name, "REFLEX_") || name == "ALEMBIC_CONFIG"
	})
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
