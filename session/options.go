package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// An Option changes the configuration of a pool before it is opened. Any function
// of this type will do, for what the options here don't cover.
type Option func(*pgxpool.Config) error

// WithMaxConns sets the largest number of connections, at least 1. pgx's default
// is 4 or the number of CPUs, whichever is more.
func WithMaxConns(n int32) Option {
	return func(c *pgxpool.Config) error {
		if n < 1 {
			return fmt.Errorf("session: WithMaxConns(%d): a pool needs a connection", n)
		}
		c.MaxConns = n
		return nil
	}
}

// WithTracer sets pgx's tracer, such as otelpgx's.
func WithTracer(tracer pgx.QueryTracer) Option {
	return func(c *pgxpool.Config) error {
		c.ConnConfig.Tracer = tracer
		return nil
	}
}

// WithAfterConnect calls f on each new connection before its first use, after
// those that were set before; if f fails, so does the connection.
func WithAfterConnect(f func(context.Context, *pgx.Conn) error) Option {
	return func(c *pgxpool.Config) error {
		before := c.AfterConnect
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			if before != nil {
				if err := before(ctx, conn); err != nil {
					return err
				}
			}
			return f(ctx, conn)
		}
		return nil
	}
}

// WithSearchPath sets the schemas that names without one are looked up in, in
// order. It is sent as the connection starts; PgBouncer refuses it unless its
// ignore_startup_parameters or track_extra_parameters has search_path.
func WithSearchPath(schemas ...string) Option {
	return func(c *pgxpool.Config) error {
		if len(schemas) == 0 {
			return errors.New("session: WithSearchPath needs a schema")
		}
		quoted := make([]string, len(schemas))
		for i, schema := range schemas {
			quoted[i] = pgx.Identifier{schema}.Sanitize()
		}
		c.ConnConfig.RuntimeParams["search_path"] = strings.Join(quoted, ", ")
		return nil
	}
}

// WithPgBouncer makes the pool fit for PgBouncer in transaction mode, where the
// next transaction may be on another server connection: no statement is prepared
// or cached there (pgx.QueryExecModeExec).
func WithPgBouncer() Option {
	return func(c *pgxpool.Config) error {
		noStatementCache(c.ConnConfig)
		return nil
	}
}

func noStatementCache(conn *pgx.ConnConfig) {
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn.StatementCacheCapacity = 0
	conn.DescriptionCacheCapacity = 0
}

// WithWait waits up to limit for the server to answer, for a service that may
// start before its database. It tries with a connection of its own, at growing
// intervals with jitter, and is over with the first success. A refusal that
// waiting can't change, such as of the password, fails at once.
func WithWait(limit time.Duration) Option {
	return func(c *pgxpool.Config) error {
		turn := make(chan struct{}, 1) // one waits, the others for that one
		answered := false
		before := c.BeforeConnect
		c.BeforeConnect = func(ctx context.Context, config *pgx.ConnConfig) error {
			if before != nil {
				if err := before(ctx, config); err != nil {
					return err
				}
			}
			select {
			case turn <- struct{}{}:
				defer func() { <-turn }()
			case <-ctx.Done():
				return ctx.Err()
			}
			if answered {
				return nil
			}
			err := waitForServer(ctx, config, limit)
			answered = err == nil
			return err
		}
		return nil
	}
}

func waitForServer(ctx context.Context, config *pgx.ConnConfig, limit time.Duration) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	trying, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		conn, err := pgx.ConnectConfig(trying, config)
		if err == nil {
			return conn.Close(ctx)
		}
		if ctx.Err() != nil || !worthWaiting(err) {
			return err
		}
		select {
		case <-over.C:
			return fmt.Errorf("after waiting %s: %w", limit, err)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// worthWaiting is false for what the server says of the request rather than of
// its own state (PostgreSQL's manual, appendix A), and for a wrong certificate.
func worthWaiting(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return strings.HasPrefix(server.Code, "57P") || strings.HasPrefix(server.Code, "53")
	}
	if errors.Is(err, errNoRoots) {
		return false
	}
	var certificate *tls.CertificateVerificationError
	return !errors.As(err, &certificate)
}
