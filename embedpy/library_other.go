//go:build !linux

package embedpy

import "errors"

func memoryFile(string) (string, error) {
	return "", errors.New("this system has no files in memory")
}

func noExec(string) bool { return false }
