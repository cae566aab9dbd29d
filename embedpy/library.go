package embedpy

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/reflex-dev/reflex-orm/embedpy/capi"
)

// becomeGuest replaces this process by py with the program in it: the library
// that this is, or opts.Guest.
func becomeGuest(py *Python, opts Options) error {
	if host == nil && opts.Guest == nil {
		return noLibrary(py)
	}
	argv := os.Args
	if host != nil {
		argv = host.argv
	}
	if opts.Again != nil { // first, because it may close files
		argv = opts.Again(argv)
	}
	if host != nil {
		return replace(py, capi.File(), argv)
	}
	library, err := unpack(opts.Guest)
	if err != nil {
		return &LibraryError{Python: py, Reason: "it has no libpython, and nowhere could the library for it be unpacked: " + err.Error(),
			Fix: "Make a directory that can be written and executed from, and name it in XDG_CACHE_HOME."}
	}
	return replace(py, library, argv)
}

// unpack returns the path of the library, which is unpacked once to the cache
// directory; where that can't be used, to a file in memory, for the program that
// replaces this one.
func unpack(compressed []byte) (path string, err error) {
	path, err = unpackInto(cacheDirectory(), compressed)
	if err == nil {
		return path, nil
	}
	memory, memoryErr := memoryFile("reflex")
	if memoryErr != nil {
		return "", errors.Join(err, memoryErr)
	}
	file, err := os.OpenFile(memory, os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	return memory, errors.Join(decompress(file, compressed), file.Close())
}

// unpackInto uses a directory that cacheDirectory has found to be this user's.
func unpackInto(dir string, compressed []byte) (path string, err error) {
	if dir == "" {
		return "", errors.New("there is no cache directory of this user's alone")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if noExec(dir) {
		return "", fmt.Errorf("%s is on a file system that is mounted noexec", dir)
	}
	path = filepath.Join(dir, fmt.Sprintf("reflex-%x.so", sha256.Sum256(compressed)))
	if intact(path, compressed) {
		now := time.Now()
		os.Chtimes(path, now, now) // still in use, see removeUnused
		return path, nil
	}
	temporary, err := os.CreateTemp(dir, ".reflex-*") // 0600
	if err != nil {
		return "", err
	}
	err = errors.Join(decompress(temporary, compressed), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path) // in one step, for others may be loading it
	}
	if err != nil {
		os.Remove(temporary.Name())
		return "", err
	}
	removeUnused(dir)
	return path, nil
}

// unused is how long after its last start a library of another release is kept.
const unused = 30 * 24 * time.Hour

// removeUnused removes the libraries of releases that nobody starts any more,
// and what a killed run has left of one.
func removeUnused(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		name := strings.TrimPrefix(entry.Name(), ".")
		info, err := entry.Info()
		if err == nil && strings.HasPrefix(name, "reflex-") && time.Since(info.ModTime()) > unused {
			os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// private reports whether nobody but this user (and root) can write to a file.
func private(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == os.Geteuid()) && info.Mode().Perm()&0o022 == 0
}

// intact reports whether the file at path is the library: a run that was killed
// or a full disk leaves no half of one, but disks and people do.
func intact(path string, compressed []byte) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || !private(info) {
		return false
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	end := compressed[len(compressed)-8:] // RFC 1952: CRC-32 and size, little endian
	return binary.LittleEndian.Uint32(end) == crc32.ChecksumIEEE(content) &&
		binary.LittleEndian.Uint32(end[4:]) == uint32(len(content))
}

func decompress(to io.Writer, compressed []byte) error {
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return err
	}
	_, err = io.Copy(to, reader)
	return err
}
