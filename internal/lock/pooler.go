package lock

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// PoolerError is a connection on which a session's lock can't be held.
type PoolerError struct{}

func (*PoolerError) Error() string {
	return "the database is reached through a pooler in transaction mode, where the migration lock " +
		"would be left behind on a shared connection. Set REFLEX_DB_LOCK_URL to a URL that goes " +
		"straight to PostgreSQL, or use --no-lock if nothing else migrates this database"
}

// tries is how often a second client looks for the first one's server
// connection: a pooler hands out the one that was used last, mostly.
const tries = 5

// refusePooler is a *PoolerError if conn goes through a pooler that gives its
// server connection to others between two transactions.
//
// A pooler makes up the process id that it tells its client; without one it is
// the server's own, and nothing more is asked. With one, a second client opens
// transactions: if it is given the server process that conn has just used,
// while conn is still open, or if conn is given another than before, the server
// connections are shared.
func refusePooler(ctx context.Context, conn *pgx.Conn, config *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	ours, err := backend(ctx, conn)
	if err != nil {
		return &UnreachableError{err}
	}
	if ours == conn.PgConn().PID() {
		return nil
	}
	other, err := connect(ctx, config)
	if err != nil {
		return &UnreachableError{err}
	}
	defer other.Close(context.WithoutCancel(ctx))
	for range tries {
		theirs, err := backend(ctx, other)
		if err != nil {
			return &UnreachableError{err}
		}
		now, err := backend(ctx, conn)
		if err != nil {
			return &UnreachableError{err}
		}
		if now != ours || theirs == ours {
			return &PoolerError{}
		}
	}
	return nil
}

// backend is the server process that answers right now.
func backend(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid)
	return pid, err
}
