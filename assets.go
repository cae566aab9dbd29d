// Package reflexorm holds the files that the reflex command carries inside it.
//
// The command is in cmd/reflex; Go services import the session package.
package reflexorm

import (
	"embed"
	"io/fs"
	"strings"
	"unsafe"
)

//go:embed alembic.ini.tmpl
//go:embed pyshim/reflex_driver/*.py pyshim/reflex_driver/commands.txt
//go:embed pyshim/reflex_driver/branches/*.py pyshim/reflex_driver/each/*.py
//go:embed pyshim/reflex_driver/lock/*.py
//go:embed pyshim/reflex_driver/shells pyshim/reflex_driver/templates
var files embed.FS

// Driver is the Python package reflex_driver, which is the command: the content of each
// file by its name, such as "reflex_driver/__init__.py". What `reflex db init` writes is
// data of the package.
func Driver() map[string]string {
	driver := map[string]string{}
	_ = fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(path)
		name, inPackage := strings.CutPrefix(path, "pyshim/")
		if !inPackage {
			name = "reflex_driver/" + path
		}
		// No second copy: Python's process keeps each.
		driver[name] = unsafe.String(unsafe.SliceData(content), len(content))
		return err
	}) // what is embedded can be read
	return driver
}
