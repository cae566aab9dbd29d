package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNotMigrated is for a database that has no version table: no migration has
// ever run there, or the table has another name or schema ([VersionTable]).
var ErrNotMigrated = errors.New("the database has no version table")

// A SchemaBehindError is for a database in which revisions of the history are missing.
type SchemaBehindError struct {
	Current []string   // what the version table holds
	Missing []Revision // in the order in which they would be applied
}

func (e *SchemaBehindError) Error() string {
	const shown = 10
	names := make([]string, 0, shown+1)
	for i, r := range e.Missing {
		if i == shown {
			names = append(names, fmt.Sprintf("and %d more", len(e.Missing)-shown))
			break
		}
		names = append(names, r.String())
	}
	revisions := "revisions"
	if len(e.Missing) == 1 {
		revisions = "revision"
	}
	return fmt.Sprintf("session: the database is behind by %d %s: %s; run `reflex db upgrade heads`",
		len(e.Missing), revisions, strings.Join(names, ", "))
}

// A SchemaAheadError is for a database that holds revisions which the history
// doesn't know, where [RefuseAhead] asks for an error.
type SchemaAheadError struct {
	Unknown []string
}

func (e *SchemaAheadError) Error() string {
	return "session: the database is ahead, at revisions that are not in the history: " +
		strings.Join(e.Unknown, ", ")
}

// A SchemaState is where a database stood when it was asked.
type SchemaState struct {
	// Current is what the version table holds: the latest revision of each branch,
	// which implies all that it follows or depends on.
	Current []string
	// Missing are revisions of the history that the database certainly lacks, in the
	// order in which they would be applied.
	Missing []Revision
	// Ahead are the revisions of Current that the history doesn't know: somebody with
	// a later history migrated the database.
	Ahead []string

	refuse bool
}

// Err is nil if the service can work with the database, a [*SchemaBehindError] if
// something is missing, and a [*SchemaAheadError] if [RefuseAhead] says so.
func (s *SchemaState) Err() error {
	if len(s.Missing) > 0 {
		return &SchemaBehindError{Current: s.Current, Missing: s.Missing}
	}
	if len(s.Ahead) > 0 && s.refuse {
		return &SchemaAheadError{Unknown: s.Ahead}
	}
	return nil
}

// A Querier is a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Check is nil if the service can work with the database. Otherwise it is a
// [*SchemaBehindError], [ErrNotMigrated], with [RefuseAhead] a [*SchemaAheadError],
// or why the database can't be asked. It is one query of the version table, which
// has a row for each branch: fit for a readiness probe.
//
// A database that is ahead is no error: it is what a rolling deployment looks like
// to those that have not been replaced yet. [History.State] tells.
func (h *History) Check(ctx context.Context, db Querier) error {
	state, err := h.State(ctx, db)
	if err != nil {
		return err
	}
	return state.Err()
}

// State is where the database stands, by the one query that [History.Check] makes.
// The error is [ErrNotMigrated], or why the database can't be asked.
func (h *History) State(ctx context.Context, db Querier) (*SchemaState, error) {
	table := h.table.Sanitize()
	// Not prepared: a prepared statement fails once after a migration has changed the
	// column's type.
	rows, err := db.Query(ctx, "SELECT version_num FROM "+table, pgx.QueryExecModeExec)
	if err == nil {
		var current []string
		if current, err = pgx.CollectRows(rows, pgx.RowTo[string]); err == nil {
			return h.state(current), nil
		}
	}
	var server *pgconn.PgError
	if errors.As(err, &server) && (server.Code == "42P01" || server.Code == "3F000") { // undefined table, schema
		return nil, fmt.Errorf("session: %w %s: run `reflex db upgrade heads`", ErrNotMigrated, table)
	}
	return nil, fmt.Errorf("session: reading the version table %s: %w", table, err)
}

// state compares the version table with the history. The table holds what Alembic's
// HeadMaintainer leaves there: revisions none of which is needed by another one that
// was applied. So what follows a row is not applied, for certain; what else is
// missing may have been applied by way of a row that the history doesn't know.
func (h *History) state(current []string) *SchemaState {
	s := &SchemaState{Current: current, refuse: h.refuse}
	applied := make([]bool, len(h.revisions))
	after := make([]bool, len(h.revisions)) // a row, or what follows one
	for _, id := range current {
		if i, known := h.index[id]; known {
			applied[i], after[i] = true, true
		} else {
			s.Ahead = append(s.Ahead, id)
		}
	}
	h.withNeeds(applied)
	for i, r := range h.revisions {
		for _, j := range h.needs[i] {
			after[i] = after[i] || after[j]
		}
		if h.required[i] && !applied[i] && (after[i] || len(s.Ahead) == 0) {
			s.Missing = append(s.Missing, r)
		}
	}
	return s
}

// WithSchema lets [Open] wait up to limit, from its first answer on, until the
// database is where the history wants it. It asks at growing intervals with jitter;
// then Open fails with what [History.Check] says. So a service and its migration may
// start together, in any order. With a limit of 0 it asks once. [slog.Default] gets a
// line when the wait begins, each half minute, and when it ends well.
//
// The pool's first connection asks, after the functions of [WithAfterConnect] that
// were given before this option. Later ones don't: Check is for that, in a probe. A
// pool that is made without Open can't connect until the database is there.
func WithSchema(history *History, limit time.Duration) Option {
	return func(c *pgxpool.Config) error {
		if history == nil {
			return errors.New("session: WithSchema needs a history")
		}
		var ready atomic.Bool
		return WithAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
			if ready.Load() {
				return nil
			}
			err := history.Check(ctx, conn)
			var behind *SchemaBehindError
			var ahead *SchemaAheadError
			switch {
			case err == nil:
				ready.Store(true)
				return nil
			case errors.Is(err, ErrNotMigrated), errors.As(err, &behind):
				return &schemaError{err, limit}
			case errors.As(err, &ahead), !worthWaiting(err):
				return &schemaError{err, 0}
			}
			return err
		})(c)
	}
}

// schemaError is why the first connection was refused, and for how long to try again.
type schemaError struct {
	error
	limit time.Duration
}

func (e *schemaError) Unwrap() error { return e.error }

// ping waits for the database's answer, and for its schema if WithSchema says so.
func ping(ctx context.Context, pool *pgxpool.Pool) error {
	var refused *schemaError
	var wait waiting
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := pool.Ping(ctx)
		if !errors.As(err, &refused) && (refused == nil || err == nil || !worthWaiting(err)) {
			if err != nil {
				return explain(err, pool.Config().ConnConfig)
			}
			wait.end(ctx)
			return nil
		}
		if refused.limit <= 0 {
			return refused.error
		}
		wait.what, wait.limit = "the migration of the database", refused.limit
		wait.on(ctx, refused.error)
		left := refused.limit - time.Since(wait.since)
		if left <= 0 {
			return fmt.Errorf("%w (after waiting %s)", refused.error, refused.limit)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", refused.error, ctx.Err())
		case <-time.After(min(left, pause/2+rand.N(pause))):
		}
	}
}
