package embedpy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// The cache holds what is run: it is used where nobody else can write to it.
func TestCacheDirectory(t *testing.T) {
	const somebody = 12345
	for name, c := range map[string]struct {
		prepare func(home string) error
		used    bool
	}{
		"new":           {func(string) error { return nil }, true},
		"ours":          {func(home string) error { return os.MkdirAll(home+"/.cache/reflex-orm", 0o755) }, true},
		"a link":        {func(home string) error { return os.Symlink(t.TempDir(), home+"/.cache") }, true},
		"a link to /":   {func(home string) error { return os.Symlink("/proc/1", home+"/.cache") }, false},
		"a broken link": {func(home string) error { return os.Symlink("nowhere", home+"/.cache") }, false},
		"a file":        {func(home string) error { return os.WriteFile(home+"/.cache", nil, 0o600) }, false},
		"in /tmp": {func(home string) error {
			if err := os.Mkdir(home+"/.cache", 0o777); err != nil {
				return err
			}
			return os.Chmod(home+"/.cache", 0o777|os.ModeSticky)
		}, true},
		"everybody's": {func(home string) error {
			if err := os.MkdirAll(home+"/.cache/reflex-orm", 0o700); err != nil {
				return err
			}
			return errors.Join(os.Chmod(home+"/.cache", 0o755), os.Chmod(home+"/.cache/reflex-orm", 0o777|os.ModeSticky))
		}, false},
		"the group's parent": {func(home string) error {
			if err := os.MkdirAll(home+"/.cache/reflex-orm", 0o700); err != nil {
				return err
			}
			return os.Chmod(home+"/.cache", 0o770)
		}, false},
		"the group's parent in our home": {func(home string) error {
			if err := os.MkdirAll(home+"/.cache/reflex-orm", 0o700); err != nil {
				return err
			}
			return errors.Join(os.Chmod(home+"/.cache", 0o775), os.Chmod(home, 0o700))
		}, true},
		"the group's in our home": {func(home string) error {
			if err := os.MkdirAll(home+"/.cache/reflex-orm", 0o700); err != nil {
				return err
			}
			return errors.Join(os.Chmod(home+"/.cache/reflex-orm", 0o775), os.Chmod(home, 0o700))
		}, true},
		"everybody's, and new, in our home": {func(home string) error {
			if err := os.MkdirAll(home+"/.cache", 0o700); err != nil {
				return err
			}
			return errors.Join(os.Chmod(home+"/.cache", 0o777), os.Chmod(home, 0o744))
		}, true},
		"the group's parent in a home that the group enters": {func(home string) error {
			if err := os.MkdirAll(home+"/.cache/reflex-orm", 0o700); err != nil {
				return err
			}
			return errors.Join(os.Chmod(home+"/.cache", 0o775), os.Chmod(home, 0o710))
		}, false},
		"somebody's in our home": {func(home string) error {
			if err := os.MkdirAll(home+"/.cache/reflex-orm", 0o700); err != nil {
				return err
			}
			return errors.Join(os.Chmod(home, 0o700), os.Chown(home+"/.cache", somebody, somebody))
		}, false},
		"somebody's": {func(home string) error {
			if err := os.MkdirAll(home+"/.cache/reflex-orm", 0o700); err != nil {
				return err
			}
			return os.Chown(home+"/.cache/reflex-orm", somebody, somebody)
		}, false},
		"somebody's home": {func(home string) error { return os.Chown(home, somebody, somebody) }, false},
		"ours in their home": {func(home string) error {
			if err := os.MkdirAll(home+"/.cache/reflex-orm", 0o700); err != nil {
				return err
			}
			return os.Chown(home, somebody, somebody)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			if err := os.Chmod(filepath.Dir(home), 0o755); err != nil { // which others could not enter
				t.Fatal(err)
			}
			t.Setenv("HOME", home)
			t.Setenv("XDG_CACHE_HOME", filepath.Join(home, ".cache"))
			if err := c.prepare(home); errors.Is(err, fs.ErrPermission) {
				t.Skip("only root can give files away")
			} else if err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadDir(home)
			if got := cacheDirectory(); (got != "") != c.used {
				t.Errorf("the cache is in %q", got)
			}
			if after, _ := os.ReadDir(home); !c.used && len(after) != len(before) {
				t.Errorf("something was made in it: %v", after)
			}
		})
	}
}
