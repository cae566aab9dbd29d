//go:build !guest

package main

// guest is missing from a plain `go build`, so that a fresh clone builds.
var guest []byte
