package embedpy

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
)

// owners are the users that may own an environment which a search finds: this one, root,
// and, under sudo, the user who called it. git's safe.directory is the model.
// pyshim/reflex_driver/project.py is the same in Python.
func owners(sudo string) []uint32 {
	me := uint32(os.Geteuid())
	trusted := []uint32{0, me}
	if uid, err := strconv.ParseUint(sudo, 10, 32); err == nil && me == 0 {
		trusted = append(trusted, uint32(uid))
	}
	return trusted
}

// distrust says why an environment that was found by searching is not used. The result is
// "" if nobody but the owners can change it, or a directory above it. A link has to be
// theirs, and what it leads to. Windows' files are used, whoever has them.
func (f finder) distrust(env string) (reason string) {
	if runtime.GOOS == "windows" {
		return ""
	}
	real, err := filepath.EvalSymlinks(env)
	if err != nil {
		real = env
	}
	for _, path := range []string{env, real} {
		for {
			info, err := os.Lstat(path)
			if err != nil {
				return "is not used: " + err.Error()
			}
			owner, _ := ownerOf(info)
			mode := info.Mode()
			// In a sticky directory such as /tmp everybody keeps what is theirs.
			open := mode.Perm()&0o002 != 0 && (path == real || mode&fs.ModeSticky == 0)
			switch {
			case !slices.Contains(f.owners, owner):
				return passed(env, path+" belongs to another user")
			case open && mode&fs.ModeSymlink == 0:
				return passed(env, "every user can change "+path)
			}
			if path == filepath.Dir(path) {
				break
			}
			path = filepath.Dir(path)
		}
	}
	return ""
}

func passed(env, reason string) string {
	return "is not used: " + reason + ". To use it: --python " + env + ", or VIRTUAL_ENV=" + env
}
