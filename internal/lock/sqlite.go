package lock

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

type sqliteLock struct{ directory *flock.Flock }

// Directory is the directory that stands for the SQLite database in file: two
// paths that lead to one file have the same.
func Directory(file string) (string, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	return filepath.Dir(file), nil
}

// SQLite takes the lock for the databases in directory, in this process once.
//
// The lock is flock(2) on the directory. It needs no file of its own, so a
// process that is killed leaves nothing behind. The database file itself can't
// serve: closing any descriptor of it would drop the locks that SQLite holds in
// this process (https://www.sqlite.org/howtocorrupt.html, section 2.2).
//
// The errors are *HeldError, *UnreachableError, or the cause of ctx's end.
func SQLite(ctx context.Context, directory string, wait Wait) (Lock, error) {
	l := flock.New(directory, flock.SetFlag(os.O_RDONLY))
	err := poll(ctx, wait, func() (bool, error) {
		held, err := l.TryLock()
		if errors.Is(err, os.ErrNotExist) {
			return true, nil // no directory, no database: SQLite says so in its own words
		}
		if err != nil {
			err = &UnreachableError{err}
		}
		return held, err
	}, func() string { return "another process on this machine" })
	if err != nil {
		return nil, err
	}
	return &sqliteLock{l}, nil
}

// Check is nil: the kernel keeps the lock as long as this process lives.
func (*sqliteLock) Check(context.Context) error { return nil }

func (l *sqliteLock) Release() error { return l.directory.Unlock() }
