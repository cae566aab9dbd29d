package embedpy

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	Library stamp
}

func newStamp(file string) (stamp, error) {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime().UnixNano(), info.Size()}, nil
}

func newCacheKey(executable string) (key cacheKey, err error) {
	key = cacheKey{Format: 1, Executable: executable}
	key.Program, err = newStamp(executable)
	key.Config, _ = newStamp(filepath.Join(filepath.Dir(filepath.Dir(executable)), "pyvenv.cfg"))
	return key, err
}

// cacheDirectory is where answers of interpreters and bytecode of
// [Options].Modules are kept, for as long as they fit; "" is nowhere.
func cacheDirectory() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "reflex-orm")
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
	content, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var entry cacheEntry
	if json.Unmarshal(content, &entry) != nil || entry.Key != k {
		return nil
	}
	if library, err := newStamp(entry.Python.Library); err != nil || library != entry.Library {
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
	if err != nil {
		return
	}
	content, err := json.Marshal(cacheEntry{k, *python, library})
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
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
