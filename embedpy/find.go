package embedpy

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// EnvPython names the variable with the interpreter to use.
const EnvPython = "REFLEX_PYTHON"

// A Python is an interpreter found on this machine, not yet loaded.
type Python struct {
	Executable  string // absolute, not resolved: VENV/bin/python
	Version     string // "3.12.1"
	FullVersion string // sys.version, which libpython must repeat
	Library     string // the libpython that it uses, to be loaded; "" if it uses none
	Prefix      string // the virtual environment, or else BasePrefix
	BasePrefix  string // the installation
	Source      string // what led to it: "VIRTUAL_ENV", ".venv", "PATH", …

	Passed []Attempt // environments that Find did not use, because they may be another user's
}

// FindOptions say where [Find] looks. The zero value is the current directory
// and this process's environment.
type FindOptions struct {
	Dir      string              // the project
	Explicit string              // what the user asked for by --python, which goes before all else
	Environ  func(string) string // os.Getenv
}

// Find finds the interpreter of a project. It looks at, in this order:
//
//   - opts.Explicit, then $REFLEX_PYTHON: an interpreter, a name on PATH, or the
//     directory of an environment
//   - $VIRTUAL_ENV
//   - .venv, then venv, in the project directory and in each one above it, unless another
//     user can change it: see [Python.Passed]
//   - $CONDA_PREFIX
//   - the environment in which this program is installed
//   - python3, then python, on PATH
//
// The first that is there decides: if it cannot be used, that is the error, and
// not a reason to run something else. Only on PATH are those passed over that
// do not run at all, such as pyenv's shims.
//
// Find asks the interpreter about itself, which takes about 40 ms, and keeps the
// answer in the user's cache directory until the interpreter changes.
//
// The error is a [*NotFoundError].
func Find(ctx context.Context, opts FindOptions) (*Python, error) {
	if opts.Environ == nil {
		opts.Environ = os.Getenv
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	f := finder{dir: dir, path: filepath.SplitList(opts.Environ("PATH")), owners: owners(opts.Environ("SUDO_UID"))}

	if opts.Explicit != "" {
		return f.use(ctx, "--python", f.named(opts.Explicit))
	}
	if name := opts.Environ(EnvPython); name != "" {
		return f.use(ctx, EnvPython, f.named(name))
	}
	if env := opts.Environ("VIRTUAL_ENV"); env != "" {
		return f.use(ctx, "VIRTUAL_ENV", f.environment(env))
	}
	for above := dir; ; above = filepath.Dir(above) {
		for _, name := range []string{".venv", "venv"} {
			env := filepath.Join(above, name)
			if !isEnvironment(env) {
				continue
			}
			if reason := f.distrust(env); reason != "" {
				f.passed = append(f.passed, Attempt{name, env, reason})
				continue
			}
			return f.use(ctx, name, f.environment(env))
		}
		if above == filepath.Dir(above) {
			break
		}
	}
	if env := opts.Environ("CONDA_PREFIX"); env != "" {
		return f.use(ctx, "CONDA_PREFIX", f.environment(env))
	}
	if self, err := os.Executable(); err == nil {
		if env := filepath.Dir(filepath.Dir(self)); isEnvironment(env) {
			return f.use(ctx, "this program's environment", f.environment(env))
		}
	}
	return f.onPath(ctx)
}

type finder struct {
	dir    string    // the project, absolute
	path   []string  // PATH
	owners []uint32  // whose environments are used, where a search finds them
	passed []Attempt // what the search has passed over
}

// named is the interpreter that a person has named.
func (f finder) named(name string) string {
	if filepath.Base(name) == name {
		for _, dir := range f.path {
			if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return file // with .exe, where that was left out
			}
		}
	}
	file := f.absolute(name)
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return f.environment(file)
	}
	return file
}

// environment is the interpreter of a virtual or conda environment.
func (f finder) environment(dir string) string {
	dir = f.absolute(dir)
	bin := filepath.Join(dir, binDirectory)
	files := []string{filepath.Join(bin, pythonName), filepath.Join(bin, python3Name)}
	if runtime.GOOS == "windows" {
		files = append(files, filepath.Join(dir, pythonName)) // conda's
	}
	for _, file := range files {
		if _, err := os.Lstat(file); err == nil {
			return file
		}
	}
	return files[0]
}

func (f finder) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(f.dir, path)
}

// use is the interpreter, or why it cannot be used.
func (f finder) use(ctx context.Context, source, executable string) (*Python, error) {
	python, err := inspect(ctx, f.dir, executable)
	return f.finish(python, err, source, executable)
}

// onPath is the first interpreter on PATH that runs at all.
func (f finder) onPath(ctx context.Context) (*Python, error) {
	var tried []Attempt
	for _, name := range []string{python3Name, pythonName} {
		for _, dir := range f.path {
			executable := filepath.Join(dir, name)
			if !filepath.IsAbs(dir) || !isProgram(executable) { // as in os/exec, not from the current directory
				continue
			}
			python, err := inspect(ctx, f.dir, executable)
			if silent, ok := err.(*unusable); ok && silent.silent {
				tried = append(tried, Attempt{"PATH", executable, silent.reason})
				continue
			}
			return f.finish(python, err, "PATH", executable)
		}
	}
	if len(tried) == 0 {
		tried = []Attempt{{Source: "PATH", Reason: "no python3"}}
	}
	looked := []Attempt{{Source: "--python, " + EnvPython + ", VIRTUAL_ENV, CONDA_PREFIX", Reason: "not set"}}
	if len(f.passed) == 0 {
		looked = append(looked, Attempt{Source: ".venv, venv", Reason: "not in " + f.dir + ", nor above it"})
	}
	tried = append(append(looked, f.passed...), tried...)
	return nil, &NotFoundError{Tried: tried, Fix: otherwise("PATH")}
}

// finish gives the result of inspect its source.
func (f finder) finish(python *Python, err error, source, executable string) (*Python, error) {
	if bad, ok := err.(*unusable); ok {
		fix := bad.fix
		if fix == "" {
			fix = otherwise(source)
		}
		return nil, &NotFoundError{Tried: append(f.passed, Attempt{source, executable, bad.reason}), Fix: fix}
	}
	if err != nil {
		return nil, err
	}
	python.Source, python.Passed = source, f.passed
	return python, nil
}

// otherwise is what to do where an interpreter cannot be repaired.
func otherwise(source string) string {
	switch source {
	case "VIRTUAL_ENV", "CONDA_PREFIX":
		return "Activate another environment, or unset " + source + "."
	case EnvPython, "--python":
		return "Name a Python " + oldest + " or later there, such as " + filepath.Join(".venv", binDirectory, pythonName) + "."
	}
	return "Make an environment for the project, with Python " + oldest + " or later: " + makeVenv + " .venv"
}

// isEnvironment reports whether dir is an environment, be it a broken one.
func isEnvironment(dir string) bool {
	for _, name := range []string{"pyvenv.cfg", filepath.Join(binDirectory, pythonName)} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

func isProgram(file string) bool {
	_, err := exec.LookPath(file)
	return err == nil
}

// prefix is the environment that executable is in, or else base.
func prefix(executable, base string) string {
	dir := filepath.Dir(filepath.Dir(executable))
	if _, err := os.Stat(filepath.Join(dir, "pyvenv.cfg")); err == nil {
		return dir
	}
	return base
}

// missing says why there is no file to run; "" if there is one.
func missing(executable string) (reason string) {
	info, err := os.Stat(executable)
	switch {
	case err == nil && info.IsDir():
		return "is a directory"
	case err == nil:
		return ""
	}
	if target, err := os.Readlink(executable); err == nil {
		return "is a link to " + target + ", which is not there: the Python that the environment was made with is gone"
	}
	if pathErr, ok := err.(*fs.PathError); ok {
		err = pathErr.Err
	}
	return err.Error()
}
