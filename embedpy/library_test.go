package embedpy

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func compressed(t *testing.T, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func wantContent(t *testing.T, file, want string) {
	t.Helper()
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s holds %q: %v", file, got, err)
	}
}

// The library is unpacked once, by whoever comes first, and what is not it any
// more is replaced.
func TestUnpack(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	library := compressed(t, "library")
	var paths [8]string
	var all sync.WaitGroup
	for i := range paths {
		all.Go(func() { paths[i], _ = unpack(library) })
	}
	all.Wait()
	file := paths[0]
	for _, path := range paths {
		if path != file || filepath.Dir(path) != cacheDirectory() {
			t.Fatalf("unpacked to %q", paths)
		}
	}
	wantContent(t, file, "library")
	before, _ := os.Stat(file)
	if before.Mode().Perm() != 0o600 {
		t.Errorf("the library has mode %v", before.Mode())
	}
	if _, err := unpack(library); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(file); !os.SameFile(before, after) {
		t.Error("it was unpacked again")
	}
	for name, spoil := range map[string]func() error{
		"cut short":        func() error { return os.Truncate(file, 3) },
		"another content":  func() error { return os.WriteFile(file, []byte("LIBRARY"), 0o600) },
		"others may write": func() error { return os.Chmod(file, 0o666) },
		"a link":           func() error { os.Remove(file); return os.Symlink("/etc/passwd", file) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if path, err := unpack(library); err != nil || path != file {
			t.Errorf("%s: %q %v", name, path, err)
		}
		wantContent(t, file, "library")
		if info, _ := os.Lstat(file); info.Mode() != 0o600 {
			t.Errorf("%s: mode %v", name, info.Mode())
		}
	}
	if entries, _ := os.ReadDir(cacheDirectory()); len(entries) != 1 {
		t.Errorf("the cache holds %v", entries)
	}
}

// A release that is no longer started does not stay in the cache.
func TestUnpackRemovesUnused(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	unpacked := func(content string) string {
		t.Helper()
		path, err := unpack(compressed(t, content))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	age := func(file string) {
		t.Helper()
		long := time.Now().Add(-unused - time.Hour)
		if err := os.Chtimes(file, long, long); err != nil {
			t.Fatal(err)
		}
	}
	old, used, half := unpacked("old"), unpacked("used"), filepath.Join(cacheDirectory(), ".reflex-1")
	write(t, half, "half")
	age(old)
	age(used)
	age(half)
	unpacked("used") // by a start of that release
	unpacked("new")
	for file, want := range map[string]bool{old: false, half: false, used: true} {
		if _, err := os.Stat(file); (err == nil) != want {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Code is loaded from a directory that is this user's alone, or from memory.
func TestUnpackElsewhere(t *testing.T) {
	if _, err := memoryFile("test"); err != nil {
		t.Skip(err)
	}
	library := compressed(t, "library")
	for name, prepare := range map[string]func(dir string) error{
		"others may write": func(dir string) error { return os.Chmod(dir, 0o777) },
		"another's":        func(dir string) error { return os.Chown(dir, 12345, 12345) },
		"a file":           func(dir string) error { os.Remove(dir); return os.WriteFile(dir, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_CACHE_HOME", t.TempDir())
			dir := cacheDirectory()
			if err := prepare(dir); os.IsPermission(err) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			path, err := unpack(library)
			if err != nil || !strings.HasPrefix(path, "/proc/self/fd/") {
				t.Fatalf("unpacked to %q: %v", path, err)
			}
			wantContent(t, path, "library")
			if entries, _ := os.ReadDir(dir); len(entries) != 0 {
				t.Errorf("the directory holds %v", entries)
			}
		})
	}
}
