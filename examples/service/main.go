// Command service answers HTTP from the tables that examples/shop migrates.
//
//	REFLEX_DB_URL=postgresql://… go run .
//
//	GET  /orders           the newest orders, from the replica where there is one
//	POST /orders/{id}/pay  a new order is paid
//	GET  /livez            the process runs
//	GET  /readyz           its databases answer, and have the schema that it needs
//
// LISTEN is the address, REPLICA_DB_URL a second database to read from, and
// OTEL_TRACES_EXPORTER=console writes a span for each request and query to stderr.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reflex-dev/reflex-orm/session"
)

//go:embed schema.json
var schema []byte

// envReplica is this service's own choice of a name.
const envReplica = "REPLICA_DB_URL"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := listen(ctx, log); err != nil {
		log.Error("the service ends", "error", err)
		os.Exit(1)
	}
}

func listen(ctx context.Context, log *slog.Logger) error {
	stopTracing, err := startTracing(os.Getenv("OTEL_TRACES_EXPORTER"))
	if err != nil {
		return err
	}
	defer stopTracing()
	address := os.Getenv("LISTEN")
	if address == "" {
		address = "127.0.0.1:8080"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return run(ctx, listener, log)
}

// run serves until ctx ends, and lets the requests under way finish.
func run(ctx context.Context, listener net.Listener, log *slog.Logger) error {
	defer listener.Close()
	app, err := open(ctx, log)
	if err != nil {
		return err
	}
	defer app.close()
	server := &http.Server{Handler: app.routes(), ReadHeaderTimeout: 5 * time.Second}
	log.Info("listening", "address", listener.Addr().String(), "database", session.Redact(os.Getenv(session.EnvURL)),
		"schema", app.history.Heads())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	log.Info("shutting down")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return fmt.Errorf("shutting down: %w", err)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// open waits for the databases to come up, and for their migration.
func open(ctx context.Context, log *slog.Logger) (*app, error) {
	history, err := session.ParseHistory(schema)
	if err != nil {
		return nil, err
	}
	options := []session.Option{
		session.WithWait(30 * time.Second),
		session.WithSchema(history, 2*time.Minute),
		session.WithTracer(otelpgx.NewTracer()),
	}
	primary, err := session.Open(ctx, options...)
	if err != nil {
		return nil, err
	}
	a := &app{log: log, history: history, primary: primary, replica: primary}
	if url := os.Getenv(envReplica); url != "" {
		if a.replica, err = session.OpenURL(ctx, url, options...); err != nil {
			primary.Close()
			return nil, fmt.Errorf("%s: %w", envReplica, err)
		}
	}
	return a, nil
}

// app is what the handlers share.
type app struct {
	log     *slog.Logger
	history *session.History
	primary *pgxpool.Pool // to write to
	replica *pgxpool.Pool // to read from what may be a moment old; primary where there is no other
}

func (a *app) close() {
	a.replica.Close()
	a.primary.Close()
}
