package sessiontest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/session/sessiontest"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

var bin string // a directory for reflex

func TestMain(m *testing.M) {
	var err error
	if bin, err = os.MkdirTemp("", "reflex-bin-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := pgtest.Main(m)
	os.RemoveAll(bin)
	os.Exit(status)
}

var build = sync.OnceValues(func() (string, error) {
	reflex := filepath.Join(bin, "reflex")
	cmd := exec.Command("go", "build", "-o", reflex, "./cmd/reflex")
	cmd.Dir = venv.Root()
	cmd.Env = append(os.Environ(), "PKG_CONFIG="+filepath.Join(venv.Root(), "embedpy", "capi", "pkg-config"))
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building reflex: %w\n%s", err, output)
	}
	return reflex, nil
})

// prepare names a server and a Python for the tests of this process, and returns
// reflex in a script that writes a line for each run to a file.
func prepare(t testing.TB) (command, runs string) {
	t.Helper()
	reflex, err := build()
	if err != nil {
		t.Fatal(err)
	}
	env := venv.Get(t, venv.Newest(t), "sqlalchemy>=2.1", "alembic", "psycopg[binary]")
	t.Setenv("REFLEX_PYTHON", env.Bin("python"))
	t.Setenv(sessiontest.EnvURL, pgtest.Shared(t).NewDatabase(t))
	dir := t.TempDir()
	command, runs = filepath.Join(dir, "counted"), filepath.Join(dir, "runs")
	script := fmt.Sprintf("#!/bin/sh\necho run >>'%s'\nexec '%s' \"$@\"\n", runs, reflex)
	if err := os.WriteFile(command, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return command, runs
}

func count(t *testing.T, runs string) int {
	t.Helper()
	text, err := os.ReadFile(runs)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "run")
}

// shop is a copy of examples/shop, to change.
func shop(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(venv.Root(), "examples", "shop"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

const insert = "INSERT INTO customer (name, email) VALUES ('Ada', 'ada@example.com')"

func TestEachTestHasADatabase(t *testing.T) {
	command, runs := prepare(t)
	t.Run("parallel", func(t *testing.T) {
		for i := range 8 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				pool := sessiontest.Pool(t, sessiontest.Project("../../examples/shop", sessiontest.Command(command)))
				if _, err := pool.Exec(t.Context(), insert); err != nil { // the address is unique
					t.Error(err)
				}
			})
		}
	})
	if n := count(t, runs); n != 1 {
		t.Errorf("reflex ran %d times", n)
	}
	admin := pgtest.Shared(t).Connect(t, "postgres")
	defer admin.Close(t.Context())
	var left int
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname ~ '^reflex_test_\\d+_' AND NOT datistemplate").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d databases are left, %v", left, err)
	}
}

const envDir, envCommand = "SESSIONTEST_DIR", "SESSIONTEST_COMMAND"

// TestInAnotherProcess is what processes do that other tests start.
func TestInAnotherProcess(t *testing.T) {
	project := os.Getenv(envDir)
	if project == "" {
		return
	}
	pool := sessiontest.Pool(t, sessiontest.Project(project, sessiontest.Command(os.Getenv(envCommand))))
	if _, err := pool.Exec(t.Context(), insert); err != nil {
		t.Error(err)
	}
}

func process(project, command string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestInAnotherProcess$")
	cmd.Env = append(os.Environ(), envDir+"="+project, envCommand+"="+command)
	return cmd
}

func TestProcessesShareATemplate(t *testing.T) {
	command, runs := prepare(t)
	project := shop(t)
	once := func(n int) {
		var group sync.WaitGroup
		for range n {
			group.Go(func() {
				if output, err := process(project, command).CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, output)
				}
			})
		}
		group.Wait()
	}
	once(4)
	if n := count(t, runs); n != 1 {
		t.Errorf("reflex ran %d times for the same revisions", n)
	}
	revision := filepath.Join(project, "alembic", "versions", "0003_x.py")
	text := "revision = '0003'\ndown_revision = '9451fdc7fd7d'\ndef upgrade(): pass\n"
	if err := os.WriteFile(revision, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	once(2)
	if n := count(t, runs); n != 2 {
		t.Errorf("reflex ran %d times for two states of the revisions", n)
	}
	admin := pgtest.Shared(t).Connect(t, "postgres")
	defer admin.Close(t.Context())
	var left int
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_database d WHERE shobj_description(d.oid, 'pg_database') = $1", project).Scan(&left); err != nil || left != 1 {
		t.Errorf("the project has %d templates, %v", left, err)
	}
}

// A process that is killed while it fills the template stands in nobody's way.
func TestKilledWhileFilling(t *testing.T) {
	command, runs := prepare(t)
	project := shop(t)
	slow := filepath.Join(t.TempDir(), "slow")
	script := "#!/bin/sh\nwhile kill -0 $PPID; do sleep 0.1; done\n"
	if err := os.WriteFile(slow, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	first := process(project, slow)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	admin := pgtest.Shared(t).Connect(t, "postgres")
	defer admin.Close(t.Context())
	for begun := false; !begun; {
		select {
		case err := <-ended:
			t.Fatalf("it ended by itself: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		row := admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database d WHERE shobj_description(d.oid, 'pg_database') = $1)", project)
		if err := row.Scan(&begun); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if output, err := process(project, command).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	if n := count(t, runs); n != 1 {
		t.Errorf("reflex ran %d times", n)
	}
}

// A role that may create databases is enough, and it doesn't get those of another role.
func TestNeedsNoSuperuser(t *testing.T) {
	command, _ := prepare(t)
	server := pgtest.Shared(t)
	project := sessiontest.Project("../../examples/shop", sessiontest.Command(command))
	sessiontest.Pool(t, project)
	role := fmt.Sprintf("maker%d", time.Now().UnixNano())
	server.Exec(t, "postgres", "CREATE ROLE "+role+" LOGIN CREATEDB PASSWORD 'p@ss/w?rd'")
	superuser := pgtest.User + ":" + pgtest.Password
	t.Setenv(sessiontest.EnvURL, strings.NewReplacer(superuser, role+":p%40ss/w%3Frd", "postgresql:", "postgresql+psycopg:").
		Replace(os.Getenv(sessiontest.EnvURL)))
	pool, err := session.OpenURL(t.Context(), sessiontest.URL(t, project))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), insert); err != nil {
		t.Error(err)
	}
}
