// Command windows runs tests/systems in Windows' CPython, under wine, with the wheel and
// with the Go program, and the unit tests of the Go package session:
//
//	go run ./tests/windows PYTHON WHEEL [PYTEST-ARG...]
//
// PYTHON is one of this machine that has pip and zig, WHEEL the package's wheel. With
// arguments for pytest, session is not tested. The tests have a PostgreSQL that runs on Linux. Windows' Python, its packages and wine's directory stay in
// .cache/windows. Where wine is not installed it says so and succeeds.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// colorama is what pytest needs on Windows, which pip does not see when it downloads on Linux.
var packages = []string{"alembic", "sqlalchemy[asyncio]", "psycopg[binary]", "psycopg2-binary", "asyncpg", "aiosqlite", "tzdata", "pytest", "colorama"}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: windows PYTHON WHEEL [PYTEST-ARG...]")
		os.Exit(2)
	}
	if _, err := exec.LookPath("wine"); err != nil {
		fmt.Println("skipped: wine is not installed: apt install --no-install-recommends wine wine64")
		return
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A machine is a wine directory with an environment of Windows' Python.
type machine struct {
	dir, prefix, base, env string
	current                string // where its programs start; "" is here
}

func run(python, wheel string, args []string) error {
	root, err := filepath.EvalSymlinks(filepath.Join(venv.Root(), ".cache"))
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "windows")
	m := machine{dir: dir, prefix: filepath.Join(dir, "prefix"), base: filepath.Join(dir, "python"), env: filepath.Join(dir, "env")}
	defer m.wineserver("-k")
	if err := m.prepare(python); err != nil {
		return err
	}
	if err := m.pip("--no-deps", "--force-reinstall", drive(wheel)); err != nil {
		return err
	}
	server, err := pgtest.New()
	if err != nil {
		return err
	}
	defer server.Remove()
	os.Setenv("REFLEX_TEST_PG_URL", server.URL("postgres"))
	tests := drive(filepath.Join(venv.Root(), "tests", "systems"))
	pytest := append([]string{m.python(), "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rs", tests}, args...)
	failed := m.wine(time.Hour, pytest...)
	program, unit := filepath.Join(dir, "reflex-db.exe"), filepath.Join(dir, "session.test.exe")
	if err := m.compile(python, program, unit); err != nil {
		return errors.Join(failed, err)
	}
	os.Setenv("REFLEX_TEST_PROGRAM", drive(program))
	failed = errors.Join(failed, m.wine(time.Hour, pytest...))
	if len(args) > 0 {
		return failed
	}
	m.current = filepath.Join(venv.Root(), "session")
	return errors.Join(failed, m.wine(10*time.Minute, unit, "-test.short", "-test.skip", notUnderWine))
}

// notUnderWine are session's tests that can't end there: wine 8 does not remove a file as Go
// does, so t.TempDir fails, and there is no Go to run.
const notUnderWine = "^(TestNoURLInTheProject|TestAProjectThatIsWrong|TestAPasswordInTheProjectIsNamed|TestFilesOfTheDrivers" +
	"|TestImportsLittle|TestBuildsInAnEmptyModule)$"

// compile makes the Go program, session's tests, and what wine lacks for both.
func (m machine) compile(python, program, unit string) error {
	library := filepath.Join(m.prefix, "drive_c", "windows", "system32", "bcryptprimitives.dll")
	for _, command := range [][]string{
		{python, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu", "-shared", "-nostdlib", "-o", library, "tests/windows/wine/bcryptprimitives.c", "-ladvapi32"},
		{"go", "build", "-o", program, "./cmd/reflex"},
		{"go", "test", "-c", "-o", unit, "./session"},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir, cmd.Env = venv.Root(), append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return nil
}

func (m machine) python() string { return filepath.Join(m.env, "Scripts", "python.exe") }

// prepare makes all but the package's own wheel, once.
func (m machine) prepare(python string) error {
	done := filepath.Join(m.dir, "done")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	for _, dir := range []string{m.base, m.env} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(m.env, "Scripts"), 0o755); err != nil {
		return err
	}
	if err := venv.UnpackWindows(m.base); err != nil {
		return err
	}
	// The venv module makes no environment under wine 8, which has no CopyFile2.
	launcher, err := os.ReadFile(filepath.Join(m.base, "Lib", "venv", "scripts", "nt", "venvlauncher.exe"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.python(), launcher, 0o755); err != nil {
		return err
	}
	home := fmt.Sprintf("home = %s\ninclude-system-site-packages = false\n", drive(m.base))
	if err := os.WriteFile(filepath.Join(m.env, "pyvenv.cfg"), []byte(home), 0o644); err != nil {
		return err
	}
	download := exec.Command(python, append([]string{"-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--only-binary", ":all:", "--platform", "win_amd64", "--python-version", "3.14", "--dest", filepath.Join(m.dir, "wheels")}, packages...)...)
	download.Stdout, download.Stderr = os.Stdout, os.Stderr
	if err := download.Run(); err != nil {
		return err
	}
	for _, command := range [][]string{{"wineboot", "-i"}, {"winecfg", "-v", "win10"}} {
		if err := m.wine(5*time.Minute, command...); err != nil {
			return err
		}
	}
	if err := m.pip(packages...); err != nil {
		return err
	}
	return os.WriteFile(done, nil, 0o644)
}

func (m machine) pip(args ...string) error {
	pip := filepath.Join(m.base, "pip.whl", "pip")
	return m.wine(15*time.Minute, append([]string{m.python(), drive(pip), "install", "--quiet", "--no-index",
		"--find-links", drive(filepath.Join(m.dir, "wheels"))}, args...)...)
}

// wine runs a program of Windows', which needs pipes for its streams.
func (m machine) wine(limit time.Duration, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "wine", args...)
	cmd.Env = append(venv.CleanEnv(), "REFLEX_TEST_PG_URL="+os.Getenv("REFLEX_TEST_PG_URL"),
		"REFLEX_TEST_PROGRAM="+os.Getenv("REFLEX_TEST_PROGRAM"),
		"PYTHONUNBUFFERED=1", "WINEPREFIX="+m.prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=")
	cmd.Dir = m.current
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(""), output{os.Stdout}, output{os.Stderr}
	cmd.WaitDelay = time.Second // wine's services keep the pipes
	err := cmd.Run()
	if err == exec.ErrWaitDelay {
		err = nil
	}
	return err
}

// output is no *os.File, so that the program gets a pipe.
type output struct{ file *os.File }

func (o output) Write(text []byte) (int, error) { return o.file.Write(text) }

func (m machine) wineserver(arg string) {
	cmd := exec.Command("wineserver", arg)
	cmd.Env = append(os.Environ(), "WINEPREFIX="+m.prefix)
	_ = cmd.Run() // it may have ended
}

// drive is how Windows calls a path of this system.
func drive(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return "Z:" + strings.ReplaceAll(absolute, "/", `\`)
}
