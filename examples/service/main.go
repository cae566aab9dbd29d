// Command service answers HTTP from the tables that examples/shop migrates.
//
//	REFLEX_DB_URL=postgresql://… go run ./examples/service
//
// GET /orders is the newest orders as JSON, GET /health asks the database.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reflex-dev/reflex-orm/session"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	address := os.Getenv("LISTEN")
	if address == "" {
		address = "127.0.0.1:8080"
	}
	listener, err := net.Listen("tcp", address)
	if err == nil {
		err = run(ctx, listener)
	}
	if err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and lets the requests under way finish.
func run(ctx context.Context, listener net.Listener) error {
	defer listener.Close()
	pool, err := session.Open(ctx, session.WithWait(30*time.Second))
	if err != nil {
		return err
	}
	defer pool.Close()
	server := &http.Server{Handler: routes(pool), ReadHeaderTimeout: 5 * time.Second}
	log.Printf("listening on http://%s, on %s", listener.Addr(), session.Redact(os.Getenv(session.EnvURL)))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
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

func routes(pool *pgxpool.Pool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		if err := pool.Ping(r.Context()); err != nil {
			fail(w, r, err)
		}
	})
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		orders, err := newestOrders(r.Context(), pool)
		if err != nil {
			fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(orders)
	})
	return mux
}

// fail tells the log what happened, and the client that it did.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	log.Printf("%s %s: %v", r.Method, r.URL.Path, err)
	http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
}

type order struct {
	ID        int       `json:"id"`
	Customer  string    `json:"customer"`
	Status    string    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
}

func newestOrders(ctx context.Context, pool *pgxpool.Pool) ([]order, error) {
	rows, err := pool.Query(ctx, `
		SELECT o.id, c.name AS customer, o.status, o.created_at
		FROM orders o JOIN customer c ON c.id = o.customer_id
		ORDER BY o.created_at DESC, o.id DESC LIMIT 50`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[order])
}
