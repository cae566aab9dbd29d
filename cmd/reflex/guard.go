package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/reflex-dev/reflex-orm/embedpy"
	"github.com/reflex-dev/reflex-orm/internal/lock"
	"github.com/reflex-dev/reflex-orm/session"
)

// envLockURL names a direct connection for the lock.
const envLockURL = "REFLEX_DB_LOCK_URL"

// guard is the Go side of reflex_driver/guard.py: it holds the locks of a run
// and hears of signals. Python calls its functions one at a time, but for
// interrupted and abandon, which are called by a thread of their own.
type guard struct {
	ctx      context.Context      // ends with the first signal
	held     map[string]lock.Lock // by what they lock
	finished chan struct{}        // closed at the end of the run
	abort    func(status int)     // ends the process

	mu      sync.Mutex
	first   syscall.Signal
	failure error
}

// newGuard listens to signals; abort ends the process, at the second one.
func newGuard(ctx context.Context, signals <-chan os.Signal, abort func(status int)) *guard {
	g := &guard{held: map[string]lock.Lock{}, finished: make(chan struct{}), abort: abort}
	ctx, cancel := context.WithCancel(ctx)
	g.ctx = ctx
	go g.listen(signals, cancel)
	return g
}

type function func(argument []byte) ([]byte, error)

// define gives Python the functions of the module _reflex.
func (g *guard) define(python *embedpy.Interpreter) error {
	for name, f := range map[string]function{
		"wait":        g.failing(g.wait),
		"lock":        g.failing(g.lock),
		"check":       g.failing(g.check),
		"interrupted": g.interrupted,
		"finish":      g.finish,
		"abandon":     g.abandon,
	} {
		if err := python.Define(name, f); err != nil {
			return err
		}
	}
	return nil
}

// failing keeps f's error: what comes out of Python may be another's.
func (g *guard) failing(f func(ctx context.Context, argument []byte) error) function {
	return func(argument []byte) ([]byte, error) {
		err := f(g.ctx, argument)
		if err != nil {
			g.mu.Lock()
			g.failure = err
			g.mu.Unlock()
		}
		return nil, err
	}
}

// listen remembers the first signal, and ends the process at the second.
func (g *guard) listen(signals <-chan os.Signal, cancel context.CancelFunc) {
	defer cancel()
	for s := range signals {
		number, ok := s.(syscall.Signal)
		if !ok {
			continue
		}
		g.mu.Lock()
		second := g.first != 0
		g.first = number
		g.mu.Unlock()
		if second {
			g.abort(exitSignal + int(number))
		}
		cancel()
	}
}

// interrupted waits for the first signal; the answer is "" once the run is over.
func (g *guard) interrupted([]byte) ([]byte, error) {
	select {
	case <-g.ctx.Done():
		return []byte("signal"), nil
	case <-g.finished:
		return nil, nil
	}
}

func (g *guard) finish([]byte) ([]byte, error) {
	close(g.finished)
	return nil, nil
}

// abandon ends the process, which a signal has not ended.
func (g *guard) abandon([]byte) ([]byte, error) {
	err := &signalError{g.signal()}
	fmt.Fprintf(os.Stderr, "%s %v\n", paint(os.Stderr, "Error:"), err)
	g.abort(exitStatus(err))
	return nil, nil
}

// signal is the signal that came during the run, or 0.
func (g *guard) signal() syscall.Signal {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.first
}

// err is what the functions that Python called have failed with.
func (g *guard) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failure
}

// wait is for a server that is starting.
func (g *guard) wait(ctx context.Context, argument []byte) error {
	var a struct {
		URL     string
		Seconds float64
	}
	if err := json.Unmarshal(argument, &a); err != nil {
		return err
	}
	limit := duration(a.Seconds)
	ctx, cancel := context.WithTimeout(ctx, limit+answerAfterWait)
	defer cancel()
	pool, err := session.OpenURL(ctx, a.URL, session.WithWait(limit))
	if err != nil {
		return &waitError{err}
	}
	pool.Close()
	return nil
}

// answerAfterWait limits what follows the wait: the server has answered once.
const answerAfterWait = 10 * time.Second

// waitError is a server that --wait was not long enough for, or in vain.
type waitError struct{ err error }

func (e *waitError) Error() string {
	return fmt.Sprintf("the database did not come up in time, or can't be used (--wait): %v", e.err)
}

func (e *waitError) Unwrap() error { return e.err }

// lockRequest is what guard.py knows of the database when env.py has connected.
type lockRequest struct {
	URL, Backend, Database, Table, Schema string
	Seconds                               float64
	Verbose                               bool
}

// lock takes the lock on a database, once a run.
func (g *guard) lock(ctx context.Context, argument []byte) error {
	var a lockRequest
	if err := json.Unmarshal(argument, &a); err != nil {
		return err
	}
	progress := newProgress(os.Stderr)
	defer progress.clear()
	wait := lock.Wait{Timeout: duration(a.Seconds), Progress: progress.show}
	switch {
	case a.Backend == "postgresql":
		return g.lockPostgres(ctx, a, wait)
	case a.Backend == "sqlite" && inMemory(a.Database):
		return nil
	case a.Backend == "sqlite":
		return g.lockSQLite(ctx, a, wait)
	case a.Verbose:
		fmt.Fprintf(os.Stderr, "No lock is taken on %s: runs at the same time are not kept apart.\n", a.Backend)
	}
	return nil
}

func (g *guard) lockPostgres(ctx context.Context, a lockRequest, wait lock.Wait) error {
	return g.hold(a.URL+"\x00"+a.Schema+"\x00"+a.Table, func() (lock.Lock, error) {
		config, err := session.ParseURL(a.URL)
		if err != nil {
			return nil, &lock.UnreachableError{Err: err}
		}
		key := lock.Key{Database: config.ConnConfig.Database, Schema: a.Schema, Table: a.Table}
		if direct := os.Getenv(envLockURL); direct != "" {
			if config, err = session.ParseURL(direct); err != nil {
				return nil, &lock.UnreachableError{Err: fmt.Errorf("%s: %w", envLockURL, err)}
			}
		}
		return lock.Postgres(ctx, config.ConnConfig, key, wait)
	})
}

func (g *guard) lockSQLite(ctx context.Context, a lockRequest, wait lock.Wait) error {
	directory, err := lock.Directory(strings.TrimPrefix(a.Database, "file:"))
	if err != nil {
		return &lock.UnreachableError{Err: err}
	}
	return g.hold(directory, func() (lock.Lock, error) {
		return lock.SQLite(ctx, directory, wait)
	})
}

// hold keeps what take returns, unless this run holds it already.
func (g *guard) hold(name string, take func() (lock.Lock, error)) error {
	if _, ok := g.held[name]; ok {
		return nil
	}
	held, err := take()
	if err == nil {
		g.held[name] = held
	}
	return err
}

// inMemory is whether SQLAlchemy opens no file for this SQLite database.
func inMemory(database string) bool {
	return database == "" || strings.Contains(database, ":memory:") || strings.Contains(database, "mode=memory")
}

// check fails if a lock was lost; it is called before each commit.
func (g *guard) check(ctx context.Context, _ []byte) error {
	for _, held := range g.held {
		if err := held.Check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// release gives every lock back, at the end of a run.
func (g *guard) release() error {
	var failed error
	for _, held := range g.held {
		failed = errors.Join(failed, held.Release())
	}
	return failed
}

func duration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}
