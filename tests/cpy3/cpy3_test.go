// Package cpy3 runs cpy3's own tests against the binding of embedpy/capi, on
// each interpreter of the machine.
//
// They run from a copy of cpy3's unmodified source, to which two files of
// testdata are added: one loads a libpython, one binds each test to a thread.
// Each test has a process of its own, for some leave Python in a bad state.
package cpy3

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/reflex-dev/reflex-orm/embedpy"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// exceptions are the tests that do not pass, by the first minor version of
// Python 3 of which that is true, each with its reason. None is the binding's.
var exceptions = map[string]struct {
	since  int
	reason string
	luck   bool // may pass all the same
}{
	"TestDict":                 {since: 9, reason: "PyDict_ClearFreeList was removed from Python"},
	"TestList":                 {since: 9, reason: "PyList_ClearFreeList was removed from Python"},
	"TestPyFloatMinMax":        {since: 9, reason: "PyFloat_ClearFreeList was removed from Python"},
	"TestThreadInitialization": {since: 9, reason: "PyEval_ReInitThreads was removed from Python"},
	"TestErrorInterrupt":       {since: 9, reason: "Go has a handler for SIGINT, so Py_Initialize installs none that could raise; embedpy.Start takes Go's away"},
	"TestDir":                  {since: 9, reason: "expects the methods that a list had in 3.7"},
	"TestErrorGetSetExcInfo":   {since: 11, reason: "the type and the traceback come from the value, and are None, not NULL, without one"},
	"TestExceptionContext":     {since: 11, reason: "gives PyException_SetContext a class, where it takes an instance", luck: true},
	"TestErrorFetchRestore":    {since: 12, reason: "expects no value, but exceptions are made at once"},
	"TestProgramName":          {since: 12, reason: "Py_EncodeLocale crashes before Py_Initialize, in a plain C program too"},
	"TestPath":                 {since: 12, reason: "as TestProgramName"},
	"TestPythonHome":           {since: 12, reason: "as TestProgramName"},
}

//go:embed testdata
var testdata embed.FS

func TestCpy3(t *testing.T) {
	binary, names := build(t)
	for name := range exceptions {
		if !slices.Contains(names, name) {
			t.Errorf("the exception %s is no test of cpy3", name)
		}
	}
	for _, interpreter := range venv.Interpreters(t) {
		t.Run(interpreter.Version, func(t *testing.T) {
			python, err := embedpy.Find(t.Context(), embedpy.FindOptions{Explicit: interpreter.Executable})
			if err != nil {
				t.Fatal(err)
			}
			var minor int
			fmt.Sscanf(python.Version, "3.%d", &minor)
			passed, excepted := 0, 0
			for _, name := range names {
				exception, listed := exceptions[name]
				expected := listed && minor >= exception.since
				output, err := run(t, binary, name, python)
				switch {
				case err != nil && !expected:
					t.Errorf("%s: %v\n%s", name, err, output)
				case err == nil && expected && !exception.luck:
					t.Errorf("%s passes, but is listed: %s", name, exception.reason)
				case err != nil:
					excepted++
				default:
					passed++
				}
			}
			t.Logf("%d passed, %d are listed as exceptions", passed, excepted)
		})
	}
}

// build compiles cpy3's tests and returns the binary and their names.
func build(t *testing.T) (binary string, names []string) {
	t.Helper()
	source, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/go-python/cpy3").Output()
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	module := filepath.Join(work, "cpy3")
	if err := os.CopyFS(module, os.DirFS(strings.TrimSpace(string(source)))); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(module, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(content, -1) {
			names = append(names, string(match[1]))
		}
	}
	for _, file := range []string{"load_test.go", "bound_test.go"} {
		out, err := os.Create(filepath.Join(module, "embedpy_"+file))
		if err != nil {
			t.Fatal(err)
		}
		if err := template.Must(template.ParseFS(testdata, "testdata/"+file+".tmpl")).Execute(out, names); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// A workspace, so that neither module's go.mod has to know of the other.
	workspace := filepath.Join(work, "go.work")
	if err := os.WriteFile(workspace, []byte("go 1.26.0\n\nuse (\n\t./cpy3\n\t"+venv.Root()+"\n)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(work, "cpy3.test")
	cmd := exec.Command("go", "test", "-c", "-o", binary, ".")
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK="+workspace, "PKG_CONFIG="+filepath.Join(venv.Root(), "embedpy", "capi", "pkg-config"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary, names
}

// run runs one test of cpy3.
func run(t *testing.T, binary, name string, python *embedpy.Python) (output []byte, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.run=^TestBound$/^"+name+"$")
	cmd.Dir = filepath.Join(filepath.Dir(binary), "cpy3")
	cmd.Env = venv.CleanEnv("LIBPYTHON="+python.Library, "PYTHONHOME="+python.BasePrefix)
	output, err = cmd.CombinedOutput()
	if err == nil && !strings.Contains(string(output), "--- PASS: TestBound/"+name+" ") {
		err = errors.New("did not run")
	}
	return output, err
}
