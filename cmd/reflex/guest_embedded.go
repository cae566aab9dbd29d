//go:build guest

package main

import _ "embed"

// guest is this command as a shared library, which `make build` makes first: for
// interpreters that have no libpython.
//
//go:embed guest.so.gz
var guest []byte
