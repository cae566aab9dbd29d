package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/session"
)

// revision is one of a history's JSON; parents and dependencies are separated by blanks.
func revision(id, parents, dependsOn string, labels ...string) string {
	list := func(ids []string) string {
		if len(ids) == 0 {
			return "[]"
		}
		return `["` + strings.Join(ids, `","`) + `"]`
	}
	return fmt.Sprintf(`{"revision": %q, "parents": %s, "depends_on": %s, "branch_labels": %s,
		"message": "about %s", "date": null, "file": "versions/%s.py"}`,
		id, list(strings.Fields(parents)), list(strings.Fields(dependsOn)), list(labels), id, id)
}

func history(heads string, revisions ...string) []byte {
	return fmt.Appendf(nil, `{"form": 1, "heads": ["%s"], "history": [%s]}`,
		strings.Join(strings.Fields(heads), `","`), strings.Join(revisions, ","))
}

func parse(t *testing.T, text []byte, opts ...session.HistoryOption) *session.History {
	t.Helper()
	h, err := session.ParseHistory(text, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestParseHistoryReadsBothDocuments(t *testing.T) {
	short := string(history("b", revision("a", "", ""), revision("b", "a", "")))
	status := strings.TrimSuffix(short, "}") + `, "database": {"current": ["a"]}, "pending": ["b"]}`
	for _, text := range []string{short, status} {
		if heads := parse(t, []byte(text)).Heads(); !slices.Equal(heads, []string{"b"}) {
			t.Errorf("heads are %v", heads)
		}
	}
}

// A revision that only others depend on is a head to Alembic, and none to `upgrade heads`.
func TestHeadsMayLeaveOutWhatOthersDependOn(t *testing.T) {
	a, b := revision("a", "", ""), revision("b", "", "a")
	parse(t, history("b", a, b))
	parse(t, history("a b", a, b))
}

func TestBranchesNamesHeads(t *testing.T) {
	text := history("a2 b2 c1",
		revision("a1", "", "", "shop"), revision("a2", "a1", ""),
		revision("b1", "", "", "billing"), revision("b2", "b1", "a1"), revision("c1", "", ""))
	for names, want := range map[string]string{
		"shop": "a2", "billing": "b2", "shop billing": "a2 b2", "a1": "a2", "b2": "b2", "c1": "c1",
	} {
		h := parse(t, text, session.Branches(strings.Fields(names)...))
		if got := strings.Join(h.Heads(), " "); got != want {
			t.Errorf("the heads of %s are %s", names, got)
		}
	}
}

func TestParseHistoryRefuses(t *testing.T) {
	a := revision("a", "", "")
	many := make([]string, 0, 60_000)
	for i := range cap(many) {
		many = append(many, revision(fmt.Sprint(i), "", ""))
	}
	for name, c := range map[string]struct {
		text []byte
		opts []session.HistoryOption
		want string
	}{
		"nothing":              {nil, nil, "empty"},
		"blanks":               {[]byte(" \n\t"), nil, "empty"},
		"null":                 {[]byte("null"), nil, `no "form"`},
		"an empty object":      {[]byte("{}"), nil, `no "form"`},
		"a list":               {[]byte("[]"), nil, "cannot unmarshal array"},
		"text":                 {[]byte("a -> b (head), first"), nil, "invalid character"},
		"a merge conflict":     {[]byte("<<<<<<< HEAD\n"), nil, "invalid character"},
		"half of it":           {history("a", a)[:60], nil, "unexpected end"},
		"two of them":          {append(history("a", a), history("a", a)...), nil, "after top-level value"},
		"a later form":         {[]byte(`{"form": 2}`), nil, "form is 2"},
		"a form that's text":   {[]byte(`{"form": "1"}`), nil, "cannot unmarshal string"},
		"no revision":          {[]byte(`{"form": 1, "heads": [], "history": []}`), nil, "no revision"},
		"a number for an id":   {[]byte(`{"form": 1, "history": [{"revision": 7}]}`), nil, "cannot unmarshal number"},
		"a parent that's text": {[]byte(`{"form": 1, "history": [{"revision": "a", "parents": "b"}]}`), nil, "cannot unmarshal string"},
		"no id":                {[]byte(`{"form": 1, "history": [{}]}`), nil, "number 1 of its revisions has no id"},
		"a revision twice":     {history("a", a, a), nil, `"a" twice`},
		"an unknown parent":    {history("b", revision("b", "a", "")), nil, `"b" needs "a", which it doesn't have`},
		"an unknown need":      {history("b", revision("b", "", "a")), nil, `"b" needs "a", which it doesn't have`},
		"a cycle":              {history("c", revision("a", "b", ""), revision("b", "a", "")), nil, "cycle"},
		"a cycle of needs":     {history("c", revision("a", "", "b"), revision("b", "a", "")), nil, "cycle"},
		"its own parent":       {history("a", revision("a", "a", "")), nil, "cycle"},
		"newest first":         {history("b", revision("b", "a", ""), a), nil, "not in order"},
		"an unknown head":      {history("a z", a), nil, `"z" as a head`},
		"a head in the middle": {history("a b", a, revision("b", "a", "")), nil, `"a" as a head`},
		"a head too few":       {history("b", a, revision("b", "", "")), nil, `doesn't have "a" as a head`},
		"too much":             {history("0", many...), nil, "are the limit"},
		"no such branch":       {history("a", a), []session.HistoryOption{session.Branches("shop")}, `no branch "shop"`},
		"no branch":            {history("a", a), []session.HistoryOption{session.Branches()}, "needs the label"},
		"no table":             {history("a", a), []session.HistoryOption{session.VersionTable("public", "")}, "needs the table's name"},
	} {
		h, err := session.ParseHistory(c.text, c.opts...)
		if err == nil || h != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
