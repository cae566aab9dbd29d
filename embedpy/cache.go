package embedpy

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// A cacheKey tells whether an interpreter is still the one that was asked. It
// has the time and size of its file and of the environment's pyvenv.cfg. A
// machine without a usable cache directory just has no cache.
type cacheKey struct {
	Format     int // of cacheEntry, and of the rules in probe.go
	Executable string
	Program    stamp
	Config     stamp // zero if there is none
}

// A stamp is what changes when a file does.
type stamp struct {
	Time int64 // in ns
	Size int64
}

type cacheEntry struct {
	Key     cacheKey
	Python  Python
	Library stamp // zero if it has none
}

func newStamp(file string) (stamp, error) {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime().UnixNano(), info.Size()}, nil
}

func newCacheKey(executable string) (key cacheKey, err error) {
	key = cacheKey{Format: 4, Executable: executable}
	key.Program, err = newStamp(executable)
	key.Config, _ = newStamp(filepath.Join(filepath.Dir(filepath.Dir(executable)), "pyvenv.cfg"))
	return key, err
}

// cacheDirectory is the directory that keeps the answers of interpreters; "" if there is
// none that can be trusted. The driver keeps bytecode in the same place.
//
// What is in there is run. So only this user and root may be able to write there. The
// directory of another user is not used, such as one in another's HOME under sudo.
// One of root's can be read, such as one in a container's image.
func cacheDirectory() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	// The real path: where a link leads to may change.
	there, missing := filepath.Join(dir, "reflex-orm"), ""
	for {
		if dir, err = filepath.EvalSymlinks(there); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || there == filepath.Dir(there) {
			return ""
		}
		there, missing = filepath.Dir(there), filepath.Join(filepath.Base(there), missing)
	}
	if missing != "" {
		if !isPrivate(dir, false) {
			return ""
		}
		dir = filepath.Join(dir, missing)
		if os.MkdirAll(dir, 0o700) != nil {
			return ""
		}
	}
	if !isPrivate(dir, true) {
		return ""
	}
	return dir
}

// isPrivate reports whether only this user, and root, can change what is in dir
// and what is called dir. Every directory on the way to it is theirs. Others can write to
// none of them, except to those that keep what belongs to somebody (/tmp), and to those
// below a directory that others can't enter. With own, dir itself must not be like /tmp.
// _is_private in pyshim/reflex_driver/bytecode.py is the same in Python.
func isPrivate(dir string, own bool) bool {
	if runtime.GOOS == "windows" { // the profile's own access list keeps others out
		return true
	}
	for writable := false; ; dir, own = filepath.Dir(dir), false {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			return false
		}
		if !isOurs(info) {
			return false
		}
		mode := info.Mode()
		switch {
		case mode.Perm()&0o011 == 0:
			writable = false // whoever may write below can't get there
		case mode.Perm()&0o022 != 0 && (own || mode&fs.ModeSticky == 0):
			writable = true
		}
		if dir == filepath.Dir(dir) {
			return !writable
		}
	}
}

// isOurs reports whether a file belongs to this user or to root, as all of Windows' do here.
func isOurs(info fs.FileInfo) bool {
	owner, ok := ownerOf(info)
	return runtime.GOOS == "windows" || ok && (owner == uint32(os.Geteuid()) || owner == 0)
}

func (k cacheKey) file() (string, error) {
	dir := cacheDirectory()
	if dir == "" {
		return "", errors.New("there is no cache directory")
	}
	return filepath.Join(dir, fmt.Sprintf("python-%x.json", sha256.Sum256([]byte(k.Executable)))), nil
}

// load returns nil for anything that is not exactly right.
func (k cacheKey) load() *Python {
	file, err := k.file()
	if err != nil {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || !isOurs(info) { // a FIFO would wait; another user could still write to it
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var entry cacheEntry
	if json.Unmarshal(content, &entry) != nil || entry.Key != k {
		return nil
	}
	if library, err := newStamp(entry.Python.Library); entry.Python.Library != "" && (err != nil || library != entry.Library) {
		return nil
	}
	return &entry.Python
}

// store replaces the file in one step, for others may be reading it.
func (k cacheKey) store(python *Python) {
	file, err := k.file()
	if err != nil {
		return
	}
	library, err := newStamp(python.Library)
	if err != nil && python.Library != "" {
		return
	}
	content, err := json.Marshal(cacheEntry{k, *python, library}) // Find fills in Source and Passed
	if err != nil {
		return
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".python-*")
	if err != nil {
		return
	}
	_, err = temporary.Write(content)
	if closeErr := temporary.Close(); err != nil || closeErr != nil || os.Rename(temporary.Name(), file) != nil {
		os.Remove(temporary.Name())
	}
}
