// Package lock keeps two migrations of one database from running at once.
//
// On PostgreSQL it is an advisory lock, held by a connection of its own for as
// long as the migration runs; the server drops it with the connection. On
// SQLite it is a lock of the file system, which dies with the process. Both are
// tried again and again rather than waited for: a session that waits inside
// PostgreSQL holds a transaction open, and another's CREATE INDEX CONCURRENTLY
// waits for that transaction in turn.
package lock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Lock is a lock that is held.
type Lock interface {
	// Check is nil as long as the lock is held for certain.
	Check(ctx context.Context) error
	// Release gives the lock back. An error says that it was lost before.
	Release() error
}

// Wait says how long to wait for another migration, and whom to tell.
type Wait struct {
	Timeout  time.Duration                           // 0: do not wait
	Progress func(holder string, rest time.Duration) // called now and then while waiting; may be nil
}

// HeldError is a lock that another migration did not give back in time.
type HeldError struct {
	Holder string // who holds it, as far as the database tells
	Waited time.Duration
}

func (e *HeldError) Error() string {
	waited := "and --lock-timeout is 0"
	if e.Waited > 0 {
		waited = fmt.Sprintf("and did not end within %v (--lock-timeout)", e.Waited)
	}
	return fmt.Sprintf("another migration of this database runs, %s; it is held by %s", waited, e.Holder)
}

// UnreachableError is a lock that could not be asked for.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the connection for the migration lock failed: %v. "+
		"REFLEX_DB_LOCK_URL can name another way to the same server; --no-lock goes without", e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// ErrLost is a lock that was held and is no more.
var ErrLost = errors.New("the migration lock was lost, so the run was stopped before its next commit")

const (
	firstPause = 50 * time.Millisecond
	longest    = time.Second
)

// poll calls try until it has the lock, the wait is over or ctx ends.
func poll(ctx context.Context, wait Wait, try func() (held bool, err error), holder func() string) error {
	deadline := time.Now().Add(wait.Timeout)
	for pause := firstPause; ; pause = min(2*pause, longest) {
		held, err := try()
		if err != nil || held {
			return err
		}
		rest := time.Until(deadline)
		if rest <= 0 {
			return &HeldError{Holder: holder(), Waited: wait.Timeout}
		}
		if wait.Progress != nil {
			wait.Progress(holder(), rest)
		}
		// Jitter, so that many pods started together do not ask together.
		pause := min(pause/2+rand.N(pause), rest)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
