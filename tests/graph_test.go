package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// graphProject has branches that part and meet, a merge of three, two bases, a
// dependency, and messages that mean something to dot and Mermaid.
func graphProject(t testing.TB) *project {
	t.Helper()
	p := newProject(t, "sqlite")
	for _, r := range []struct{ revision, down, more, message string }{
		{"a1", `None`, `branch_labels = "shop"`, "first"},
		{"b1", `"a1"`, ``, "left"},
		{"b2", `"b1"`, ``, "left again"},
		{"c1", `"a1"`, ``, `right, "quoted" <b> & \\ #1; ` + "`x`"},
		{"d1", `"a1"`, ``, "third"},
		{"m1", `("b2", "c1", "d1")`, ``, "join three"},
		{"n1", `"m1"`, ``, "next"},
		{"e1", `"c1"`, ``, "beside"},
		{"end", `("n1", "e1")`, ``, "named as a word of Mermaid's"},
		{"z1", `None`, `branch_labels = "audit"`, ""},
		{"z2", `"z1"`, `depends_on = "c1"`, "another base"},
	} {
		text := fmt.Sprintf("\"\"\"%s\n\n\"\"\"\nrevision, down_revision = %q, %s\n%s\n\n\ndef upgrade():\n    pass\n",
			r.message, r.revision, r.down, r.more)
		file := filepath.Join(p.dir, "alembic", "versions", r.revision+".py")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestGraph(t *testing.T) {
	t.Parallel()
	p := graphProject(t)
	url := p.url
	p.url = "" // without -i, no database is needed
	golden(t, p, "graph.txt", p.succeed(t, "history", "--graph"))
	golden(t, p, "graph.dot", p.succeed(t, "history", "--dot"))
	golden(t, p, "graph.mmd", p.succeed(t, "history", "--mermaid"))
	p.start(t, "history", "--graph", "-i").wantStatus(t, 4)
	p.url = url
	p.succeed(t, "upgrade", "b2")
	golden(t, p, "graph-applied.txt", p.succeed(t, "history", "--graph", "-i"))
	golden(t, p, "graph-applied.dot", p.succeed(t, "history", "--dot", "-i"))
	golden(t, p, "graph-applied.mmd", p.succeed(t, "history", "--mermaid", "--indicate-current"))
	golden(t, p, "graph-range.txt", p.succeed(t, "history", "--graph", "-r", "a1:m1"))
	golden(t, p, "graph-current.txt", p.succeed(t, "history", "--graph", "-r", "current:"))

	// Alembic's own stays what it is.
	p.env = append(p.env, "PYTHONHASHSEED=0") // it prints sets
	same(t, "history", p.alembic(t, "history").wantStatus(t, 0).stdout.String(), p.succeed(t, "history").stdout.String())
	same(t, "history -v", p.alembic(t, "history", "-v").wantStatus(t, 0).stdout.String(), p.succeed(t, "history", "-v").stdout.String())
	same(t, "history -i", p.alembic(t, "history", "-i").wantStatus(t, 0).stdout.String(), p.succeed(t, "history", "-i").stdout.String())
}

// Every line that begins at a revision goes on until its parents: a drawing of
// many branches has a row for each, and ends with one line.
func TestGraphOfManyBranches(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	write := func(name, down string) {
		file := filepath.Join(p.dir, "alembic", "versions", name+".py")
		text := fmt.Sprintf("revision, down_revision = %q, %s\n", name, down)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("root", "None")
	var tips []string
	for i := range 12 {
		write(fmt.Sprintf("one%02d", i), `"root"`)
		write(fmt.Sprintf("two%02d", i), fmt.Sprintf(`"one%02d"`, i))
		tips = append(tips, fmt.Sprintf("%q", fmt.Sprintf("two%02d", i)))
	}
	write("joined", "("+strings.Join(tips, ", ")+")")
	lines := strings.Split(strings.TrimSpace(p.succeed(t, "history", "--graph").stdout.String()), "\n")
	if !strings.HasPrefix(lines[0], "* joined") || lines[len(lines)-1] != "* root" {
		t.Errorf("the drawing begins with %q and ends with %q", lines[0], lines[len(lines)-1])
	}
	if stars := strings.Count(strings.Join(lines, "\n"), "*"); stars != 26 {
		t.Errorf("%d revisions are drawn, not 26", stars)
	}
}
