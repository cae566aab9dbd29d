package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// The tables are those of `reflex db upgrade head` on examples/shop.
func TestReadsWhatReflexMigrated(t *testing.T) {
	url := pgtest.Shared(t).NewDatabase(t)
	env := venv.Get(t, venv.Newest(t), "sqlalchemy>=2.1", "alembic", "psycopg[binary]")
	work := t.TempDir()
	if err := os.CopyFS(filepath.Join(work, "shop"), os.DirFS("../shop")); err != nil {
		t.Fatal(err)
	}
	reflex := filepath.Join(work, "reflex")
	build := exec.Command("go", "build", "-o", reflex, "./cmd/reflex")
	build.Dir = venv.Root()
	build.Env = append(os.Environ(), "PKG_CONFIG="+filepath.Join(venv.Root(), "embedpy", "capi", "pkg-config"))
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, args := range [][]string{
		{"db", "init", "--models", "shop.models:Base"},
		{"db", "revision", "--autogenerate", "-m", "first tables"},
		{"db", "upgrade", "head"},
	} {
		cmd := exec.Command(reflex, args...)
		cmd.Dir = filepath.Join(work, "shop")
		cmd.Env = venv.CleanEnv("REFLEX_DB_URL="+url, "REFLEX_PYTHON="+env.Bin("python"))
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("reflex %v: %v\n%s", args, err, output)
		}
	}
	pool, err := session.OpenURL(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), `
		WITH c AS (INSERT INTO customer (name, email) VALUES ('Ada', 'ada@example.com') RETURNING id)
		INSERT INTO orders (customer_id, status) SELECT id, 'NEW' FROM c`); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	routes(pool).ServeHTTP(answer, httptest.NewRequest("GET", "/orders", nil))
	var orders []order
	if err := json.Unmarshal(answer.Body.Bytes(), &orders); err != nil {
		t.Fatalf("%d %s: %v", answer.Code, answer.Body, err)
	}
	if len(orders) != 1 || orders[0].Customer != "Ada" || orders[0].Status != "NEW" {
		t.Errorf("%+v", orders)
	}
}

func TestShutsDownWhenTold(t *testing.T) {
	t.Setenv(session.EnvURL, pgtest.Shared(t).NewDatabase(t))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(ctx, listener) }()
	response, err := http.Get("http://" + listener.Addr().String() + "/health")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("health: %s", response.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
