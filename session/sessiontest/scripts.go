package sessiontest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// versionLocations is Alembic's option that puts revisions outside of the script
// directory, in alembic.ini or pyproject.toml.
var versionLocations = regexp.MustCompile(`(?m)^\s*version_locations\s*=`)

// state is a hash of what decides over the schema.
func (t *Template) state() (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n", t.target)
	for _, name := range []string{"alembic.ini", "pyproject.toml"} {
		text, err := os.ReadFile(filepath.Join(t.dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if versionLocations.Match(text) && len(t.reads) == 0 {
			return "", fmt.Errorf("%s sets version_locations: name these directories with sessiontest.Reads",
				filepath.Join(t.dir, name))
		}
		fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
	}
	paths, err := scriptDirectories(t.dir)
	if err != nil {
		return "", err
	}
	for _, path := range t.reads {
		if !filepath.IsAbs(path) {
			path = filepath.Join(t.dir, path)
		}
		paths = append(paths, path)
	}
	if len(paths) == 0 {
		return "", fmt.Errorf("there is no script directory of Alembic in %s: "+
			"name the project's directory, or its revisions with sessiontest.Reads", t.dir)
	}
	for _, path := range paths {
		if err := add(sum, t.dir, path); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// scriptDirectories are the directories of the project that hold an env.py beside
// revisions or their template. Environments and what is hidden are left out.
func scriptDirectories(root string) (found []string, err error) {
	exists := func(elem ...string) bool {
		_, err := os.Stat(filepath.Join(elem...))
		return err == nil
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		case path != root && strings.HasPrefix(entry.Name(), "."), entry.Name() == "node_modules", exists(path, "pyvenv.cfg"):
			return fs.SkipDir
		case exists(path, "env.py") && (exists(path, "versions") || exists(path, "script.py.mako")):
			found = append(found, path)
			return fs.SkipDir
		}
		return nil
	})
	return found, err
}

// add adds a file, or the files of a directory, to a hash.
func add(sum hash.Hash, root, path string) error {
	return filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "__pycache__":
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s %d\n", name, info.Size())
		_, err = io.Copy(sum, file)
		return err
	})
}
