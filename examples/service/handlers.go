package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/reflex-dev/reflex-orm/examples/service/store"
)

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /orders", a.newestOrders)
	mux.HandleFunc("POST /orders/{id}/pay", a.payOrder)
	return traced(mux)
}

// ready is for the probe that decides whether requests are sent here. A database that
// is ahead is fine: a rolling deployment migrates before it replaces this process.
func (a *app) ready(w http.ResponseWriter, r *http.Request) {
	pools := []*pgxpool.Pool{a.primary}
	if a.replica != a.primary {
		pools = append(pools, a.replica)
	}
	for _, pool := range pools {
		state, err := a.history.State(r.Context(), pool)
		if err == nil {
			err = state.Err()
		}
		if err != nil {
			a.fail(w, r, err)
			return
		}
		if len(state.Ahead) > 0 {
			fmt.Fprintf(w, "the database is ahead, at %s\n", strings.Join(state.Ahead, ", "))
		}
	}
}

func (a *app) newestOrders(w http.ResponseWriter, r *http.Request) {
	orders, err := store.New(a.replica).NewestOrders(r.Context(), 50)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(orders)
}

func (a *app) payOrder(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	paid, err := store.New(a.primary).PayOrder(r.Context(), int32(id))
	switch {
	case err != nil:
		a.fail(w, r, err)
	case paid == 0:
		http.Error(w, "there is no such order that is new", http.StatusConflict)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// fail tells the log what happened, and the client that it did.
func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) {
	a.log.ErrorContext(r.Context(), "the request failed", "method", r.Method, "path", r.URL.Path, "error", err,
		"trace_id", trace.SpanContextFromContext(r.Context()).TraceID())
	http.Error(w, "the database can't be used now", http.StatusServiceUnavailable)
}

// traced makes a span for each request; otelpgx makes one within it for each query.
func traced(next http.Handler) http.Handler {
	tracer := otel.Tracer("service")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), r.Method+" "+r.URL.Path, trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
