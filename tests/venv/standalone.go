package venv

import (
	"archive/zip"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gofrs/flock"
)

// standaloneModule holds a CPython for each platform, built by
// python-build-standalone. Go's module proxy serves it, so a machine that can build
// reflex can have it; the checksum database vouches for it. Only tests use it: it
// is in no go.mod.
const standaloneModule = "github.com/kluctl/go-embed-python@v0.0.0-3.14.6-20260610-1"

// The module leaves ensurepip out, without which the venv module makes no
// environment, and holds pip apart. This one installs that pip.
const ensurepip = `"""Installs the pip beside it, for the venv module."""
import glob, os, sys

if __name__ == "__main__":
    os.environ["PIP_CONFIG_FILE"] = os.devnull
    (wheel,) = glob.glob(os.path.join(os.path.dirname(__file__), "*.whl"))
    sys.path.insert(0, wheel)
    from pip._internal.cli.main import main
    sys.exit(main(["--isolated", "install", "--quiet", "--no-cache-dir", "--no-index", "--no-deps", wheel]))
`

// sharedProgram is Python's own main program. With it the interpreter uses the libpython beside it,
// as where Python is configured with --enable-shared alone.
const sharedProgram = "int Py_BytesMain(int, char **);\nint main(int argc, char **argv) { return Py_BytesMain(argc, argv); }\n"

// standalone is the path of standaloneModule's Python for this platform, in .cache.
// Its interpreter is linked statically and has a libpython beside it; with shared, the C
// compiler makes one that uses that libpython.
func standalone(shared bool) (string, error) {
	_, version, _ := strings.Cut(standaloneModule, "@")
	cache := filepath.Join(Root(), ".cache", "python")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	cache, err := filepath.EvalSymlinks(cache) // several clones may share one
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, version)
	if shared {
		dir += "-shared"
	}
	python := filepath.Join(dir, "bin", "python3.14")
	lock := flock.New(dir + ".lock")
	if err := lock.Lock(); err != nil {
		return "", err
	}
	defer lock.Unlock()
	done := filepath.Join(dir, "done")
	if _, err := os.Stat(done); err == nil {
		return python, nil
	}
	if err := unpackStandalone(dir); err != nil {
		return "", fmt.Errorf("the Python in %s can't be had: %w", standaloneModule, err)
	}
	if shared && runtime.GOOS == "linux" {
		link := exec.Command("cc", "-x", "c", "-", "-o", python, "-L"+filepath.Join(dir, "lib"), "-lpython3.14", "-Wl,-rpath,$ORIGIN/../lib")
		link.Stdin = strings.NewReader(sharedProgram)
		if out, err := link.CombinedOutput(); err != nil {
			return "", fmt.Errorf("the Python in %s can't be linked with its libpython: %w\n%s", standaloneModule, err, out)
		}
	}
	if out, err := exec.Command(python, "-I", "-c", question).CombinedOutput(); err != nil {
		return "", fmt.Errorf("the Python in %s does not run here: %w\n%s", standaloneModule, err, out)
	}
	return python, os.WriteFile(done, nil, 0o644)
}

// UnpackWindows puts Windows' Python of the same module into dir, and beside it its pip as
// pip.whl. _wmi.pyd is left out, which ends the process under wine 8.
func UnpackWindows(dir string) error {
	module, err := downloadStandalone()
	if err != nil {
		return err
	}
	data := filepath.Join(module, "python", "internal", "data", "windows-amd64")
	err = eachFile(data, func(file packed) error {
		if filepath.Base(file.Name) == "_wmi.pyd" {
			return nil
		}
		return file.unpack(data, filepath.Join(dir, file.Name))
	})
	if err != nil {
		return err
	}
	name, err := zipPip(filepath.Join(module, "pip", "internal", "data"), dir)
	if err != nil {
		return err
	}
	return os.Rename(name, filepath.Join(dir, "pip.whl"))
}

// downloadStandalone returns the directory of standaloneModule.
func downloadStandalone() (string, error) {
	download := exec.Command("go", "mod", "download", "-json", standaloneModule)
	download.Dir = os.TempDir() // outside of every module
	out, err := download.Output()
	var module struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &module); jsonErr != nil || module.Error != "" || err != nil {
		return "", fmt.Errorf("go mod download: %v: %s", err, module.Error)
	}
	return module.Dir, nil
}

func unpackStandalone(dir string) error {
	module, err := downloadStandalone()
	if err != nil {
		return err
	}
	data := filepath.Join(module, "python", "internal", "data", runtime.GOOS+"-"+runtime.GOARCH)
	if _, err := os.Stat(data); err != nil {
		return fmt.Errorf("there is none for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	err = eachFile(data, func(file packed) error {
		return file.unpack(data, filepath.Join(dir, file.Name))
	})
	if err != nil {
		return err
	}
	bundle := filepath.Join(dir, "lib", "python3.14", "ensurepip")
	if err := os.Mkdir(bundle, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"__init__.py", "__main__.py"} {
		if err := os.WriteFile(filepath.Join(bundle, name), []byte(ensurepip), 0o644); err != nil {
			return err
		}
	}
	_, err = zipPip(filepath.Join(module, "pip", "internal", "data"), bundle)
	return err
}

// zipPip makes a wheel in bundle of the pip that is unpacked in data, and returns its path.
func zipPip(data, bundle string) (string, error) {
	info, err := filepath.Glob(filepath.Join(data, "pip-*.dist-info"))
	if err != nil || len(info) != 1 {
		return "", fmt.Errorf("%d versions of pip are in %s", len(info), data)
	}
	name := strings.TrimSuffix(filepath.Base(info[0]), ".dist-info") + "-py3-none-any.whl"
	name = filepath.Join(bundle, name)
	out, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer out.Close()
	archive := zip.NewWriter(out)
	err = eachFile(data, func(file packed) error {
		if !file.Mode.IsRegular() || strings.HasPrefix(file.Name, "bin/") {
			return nil
		}
		entry, err := archive.Create(file.Name)
		if err != nil {
			return err
		}
		return file.copy(data, entry)
	})
	if err != nil {
		return "", err
	}
	return name, archive.Close()
}

// packed is an entry of the files.json that describes a directory of the module.
type packed struct {
	Name       string
	Mode       fs.FileMode `json:"perm"`
	Symlink    string
	Compressed bool
}

func eachFile(data string, do func(packed) error) error {
	content, err := os.ReadFile(filepath.Join(data, "files.json"))
	if err != nil {
		return err
	}
	var list struct{ Files []packed }
	if err := json.Unmarshal(content, &list); err != nil {
		return err
	}
	for _, file := range list.Files {
		if err := do(file); err != nil {
			return err
		}
	}
	return nil
}

func (p packed) unpack(data, target string) error {
	switch {
	case p.Mode.IsDir():
		return os.MkdirAll(target, 0o755)
	case p.Symlink != "":
		return os.Symlink(p.Symlink, target)
	}
	file, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, p.Mode.Perm())
	if err != nil {
		return err
	}
	if err := p.copy(data, file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

func (p packed) copy(data string, to io.Writer) error {
	name := filepath.Join(data, p.Name)
	if p.Compressed {
		name += ".gz"
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	var content io.Reader = file
	if p.Compressed {
		if content, err = gzip.NewReader(file); err != nil {
			return err
		}
	}
	_, err = io.Copy(to, content)
	return err
}
