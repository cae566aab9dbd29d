package session

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
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
