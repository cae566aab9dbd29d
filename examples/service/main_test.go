package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/reflex-dev/reflex-orm/examples/service/store"
	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/session/sessiontest"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// TestMain does what a service elsewhere has done before its tests run: reflex is
// on PATH, the shop has its environment, and REFLEX_TEST_DB_URL names a server.
func TestMain(m *testing.M) { os.Exit(prepared(m)) }

func prepared(m *testing.M) int {
	server, err := pgtest.New()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Remove()
	bin, err := os.MkdirTemp("", "reflex-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	build := exec.Command("go", "build", "-o", bin, "./cmd/reflex")
	build.Dir = venv.Root()
	build.Env = append(os.Environ(), "PKG_CONFIG="+filepath.Join(venv.Root(), "embedpy", "capi", "pkg-config"))
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building reflex: %v\n%s", err, output)
		return 1
	}
	os.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	os.Setenv(sessiontest.EnvURL, server.URL("postgres"))
	return m.Run()
}

// python gives reflex the shop's environment.
func python(t *testing.T) {
	t.Helper()
	env := venv.Get(t, venv.Newest(t), "sqlalchemy>=2.1", "alembic", "psycopg[binary]")
	if err := os.Setenv("REFLEX_PYTHON", env.Bin("python")); err != nil { // for all tests, which run in parallel
		t.Fatal(err)
	}
}

func shop(t *testing.T) *sessiontest.Template {
	t.Helper()
	python(t)
	return sessiontest.Project("../shop")
}

// service is the service on a database of the test's own.
func service(t *testing.T) *app {
	t.Helper()
	history, err := session.ParseHistory(schema)
	if err != nil {
		t.Fatal(err)
	}
	pool := sessiontest.Pool(t, shop(t), session.WithSchema(history, 0))
	return &app{log: slog.New(slog.DiscardHandler), history: history, primary: pool, replica: pool}
}

// order makes a customer with a new order.
func order(t *testing.T, pool *pgxpool.Pool, name string) (id int) {
	t.Helper()
	err := pool.QueryRow(t.Context(), `
		WITH c AS (INSERT INTO customer (name, email) VALUES ($1, $1) RETURNING id)
		INSERT INTO orders (customer_id, status) SELECT id, 'NEW' FROM c RETURNING id`, name).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func ask(a *app, method, path string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	a.routes().ServeHTTP(answer, httptest.NewRequest(method, path, nil))
	return answer
}

func orders(t *testing.T, a *app) (found []store.NewestOrdersRow) {
	t.Helper()
	answer := ask(a, "GET", "/orders")
	if err := json.Unmarshal(answer.Body.Bytes(), &found); err != nil {
		t.Fatalf("%d %s: %v", answer.Code, answer.Body, err)
	}
	return found
}

func TestOrders(t *testing.T) {
	t.Parallel()
	a := service(t)
	if found := orders(t, a); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	path := fmt.Sprintf("/orders/%d/pay", order(t, a.primary, "Ada"))
	for _, c := range []struct {
		path string
		want int
	}{{path, 204}, {path, 409}, {"/orders/x/pay", 404}} {
		if answer := ask(a, "POST", c.path); answer.Code != c.want {
			t.Errorf("%s: %d %s", c.path, answer.Code, answer.Body)
		}
	}
	if found := orders(t, a); len(found) != 1 || found[0].Customer != "Ada" || found[0].Status != "PAID" {
		t.Errorf("%+v", found)
	}
}

func TestReadsFromTheReplica(t *testing.T) {
	t.Parallel()
	a := service(t)
	a.replica = sessiontest.Pool(t, shop(t))
	order(t, a.primary, "of the primary")
	order(t, a.replica, "of the replica")
	if found := orders(t, a); len(found) != 1 || found[0].Customer != "of the replica" {
		t.Errorf("%+v", found)
	}
	if answer := ask(a, "GET", "/readyz"); answer.Code != 200 {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	a := service(t)
	first := "feeaf37f46cb"
	for _, c := range []struct {
		sql  string
		code int
		body string
	}{
		{"SELECT", 200, ""},
		{"UPDATE alembic_version SET version_num = 'a later one'", 200, "ahead, at a later one"},
		{"UPDATE alembic_version SET version_num = '" + first + "'", 503, "can't be used"},
		{"DROP TABLE alembic_version", 503, "can't be used"},
	} {
		if _, err := a.primary.Exec(t.Context(), c.sql); err != nil {
			t.Fatal(err)
		}
		if answer := ask(a, "GET", "/readyz"); answer.Code != c.code || !strings.Contains(answer.Body.String(), c.body) {
			t.Errorf("%s: %d %s", c.sql, answer.Code, answer.Body)
		}
	}
	if answer := ask(a, "GET", "/livez"); answer.Code != 200 {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

// The service starts first, and its migration after it.
func TestStartsWithItsMigration(t *testing.T) {
	python(t)
	server := pgtest.Start(t)
	url := server.NewDatabase(t)
	t.Setenv(session.EnvURL, url)
	t.Setenv(envReplica, url)
	spans := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(ctx, listener, slog.New(slog.DiscardHandler)) }()
	upgrade := exec.Command("reflex", "db", "upgrade", "head")
	upgrade.Dir = "../shop"
	if output, err := upgrade.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	response, err := http.Get("http://" + listener.Addr().String() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("ready: %s", response.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var within bool // the query's span in the request's
	for _, query := range spans.Ended() {
		for _, request := range spans.Ended() {
			within = within || request.Name() == "GET /readyz" && query.Parent().SpanID() == request.SpanContext().SpanID()
		}
		for _, attribute := range query.Attributes() {
			if strings.Contains(attribute.Value.String(), pgtest.Password) {
				t.Errorf("a span holds the password: %v", attribute)
			}
		}
	}
	if !within {
		t.Error("no query has a span within the request's")
	}
}
