// Package reflexorm holds the files that the reflex command carries inside it.
//
// The command is in cmd/reflex; Go services import the session package.
package reflexorm

import (
	"embed"
	"io/fs"
)

// AlembicINI is the configuration that `reflex db init` writes, and that is
// used where a project has a script directory and no configuration.
//
//go:embed alembic.ini.tmpl
var AlembicINI string

//go:embed pyshim/reflex_driver/*.py pyshim/reflex_driver/lock/*.py pyshim/reflex_driver/each/*.py pyshim/templates
var pyshim embed.FS

// Driver is the Python package reflex_driver, which runs Alembic.
func Driver() fs.FS { return sub("pyshim") }

// Templates are the files of the script directory that `reflex db init` writes.
func Templates() fs.FS { return sub("pyshim/templates") }

func sub(dir string) fs.FS {
	tree, err := fs.Sub(pyshim, dir)
	if err != nil { // only for a path that is not valid, and these are constants
		panic(err)
	}
	return tree
}
