//go:build !cgo || !(linux || darwin)

package capi

// The compiler shows this name where embedpy cannot work.
var _ = embedpy_needs_cgo_and_Linux_or_macOS
