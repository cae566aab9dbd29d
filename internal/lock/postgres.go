package lock

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// answerTimeout limits each question put to the server, so that a network that
// swallows packets is an error and not a silence.
const answerTimeout = 10 * time.Second

// Key says what is migrated: two runs with the same key exclude each other.
type Key struct {
	Database string
	Schema   string // of the version table; "" is the default schema
	Table    string // the version table
}

type postgresLock struct {
	conn *pgx.Conn
	key  int64
}

// Postgres takes the lock for key over a new connection, which it keeps.
//
// The errors are *HeldError, *UnreachableError, *PoolerError, or the cause of
// ctx's end.
func Postgres(ctx context.Context, config *pgx.ConnConfig, key Key, wait Wait) (Lock, error) {
	config = config.Copy()
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // nothing prepared: a pooler may be between
	conn, err := connect(ctx, config)
	if err != nil {
		return nil, &UnreachableError{err}
	}
	l := &postgresLock{conn: conn, key: key.number()}
	if err := l.acquire(ctx, config, wait); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, max(config.ConnectTimeout, answerTimeout))
	defer cancel()
	return pgx.ConnectConfig(ctx, config)
}

func (l *postgresLock) acquire(ctx context.Context, config *pgx.ConnConfig, wait Wait) error {
	// First, so that nothing is set on a server connection that others share.
	if err := refusePooler(ctx, l.conn, config); err != nil {
		return err
	}
	if err := l.prepare(ctx); err != nil {
		return &UnreachableError{err}
	}
	return poll(ctx, wait, func() (held bool, err error) {
		err = l.ask(ctx, "SELECT pg_try_advisory_lock($1)", &held)
		if err != nil && ctx.Err() == nil {
			err = &UnreachableError{err}
		}
		return held, err
	}, func() string { return l.holder(ctx) })
}

// prepare names the connection, for those who wait for it, and keeps the
// server from ending it while it idles.
func (l *postgresLock) prepare(ctx context.Context) error {
	host, _ := os.Hostname()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_, err := l.conn.Exec(ctx, `
		SELECT set_config('application_name', $1, false),
		       set_config(name, '0', false)
		FROM (SELECT name FROM pg_settings
		      WHERE name IN ('idle_session_timeout', 'statement_timeout')) AS limits`,
		fmt.Sprintf("reflex db lock (%s, pid %d)", host, os.Getpid()))
	return err
}

// Check asks the server whether this connection still holds the lock.
func (l *postgresLock) Check(ctx context.Context) error {
	held := false
	err := l.ask(ctx, `
		SELECT EXISTS (
			SELECT FROM pg_locks
			WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() AND objsubid = 1
			AND (classid::bigint << 32) | objid::bigint = $1)`, &held)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	if !held {
		return ErrLost
	}
	return nil
}

// Release unlocks and closes the connection.
func (l *postgresLock) Release() error {
	defer l.close()
	unlocked := false
	// Whatever ended the run, the lock is to be given back.
	err := l.ask(context.Background(), "SELECT pg_advisory_unlock($1)", &unlocked)
	if err != nil {
		return fmt.Errorf("the migrations ran, but the lock's connection was lost on the way: %w", err)
	}
	if !unlocked {
		return errors.New("the migrations ran, but the lock was not held any more at their end; " +
			"set REFLEX_DB_LOCK_URL if a pooler is between")
	}
	return nil
}

func (l *postgresLock) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx)
}

func (l *postgresLock) ask(ctx context.Context, question string, answer *bool) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return l.conn.QueryRow(ctx, question, l.key).Scan(answer)
}

// holder says who holds the lock, as far as pg_stat_activity shows it to us.
func (l *postgresLock) holder(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var (
		pid         int32
		application string
		address     string
		since       time.Time
	)
	err := l.conn.QueryRow(ctx, `
		SELECT l.pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'a local socket'),
		       coalesce(a.backend_start, now())
		FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
		AND (l.classid::bigint << 32) | l.objid::bigint = $1
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
		l.key).Scan(&pid, &application, &address, &since)
	if err != nil {
		return "a connection that has just ended"
	}
	return fmt.Sprintf("pid %d, %q, from %s, since %s", pid, application, address,
		since.Local().Format(time.TimeOnly))
}

// number is the key of the advisory lock.
func (k Key) number() int64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "reflex db\x00%s\x00%s\x00%s", k.Database, k.Schema, k.Table))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}
