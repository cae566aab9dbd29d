package databases

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	const shared, template = "postgresql://app:hunter22@db/all", "postgresql://app:hunter22@db/{}?x=1"
	for _, c := range []struct {
		text   string
		places Places
		want   []Database
	}{
		{"\ufeff# tenants\r\n\r\n  a \r\n", Places{URL: template},
			[]Database{{"a", "postgresql://app:hunter22@db/a?x=1", true, "a", 3}}},
		{"ä/b c", Places{URL: template}, nil},
		{"ä/b%?", Places{URL: template},
			[]Database{{"ä/b%?", "postgresql://app:hunter22@db/%C3%A4%2Fb%25%3F?x=1", true, "ä/b%?", 1}}},
		{"a\nb", Places{URL: shared, Other: true},
			[]Database{{"a", shared, false, "a", 1}, {"b", shared, false, "b", 2}}},
		{"a", Places{Other: true}, []Database{{"a", "", false, "a", 1}}},
		{"a\tpostgresql://u:p@h/d", Places{}, []Database{{"a", "postgresql://u:p@h/d", true, "a\tpostgresql://u:p@h/d", 1}}},
		{"postgresql+psycopg://u:p@h:5433/d%20e?sslmode=require", Places{},
			[]Database{{"h:5433/d e", "postgresql+psycopg://u:p@h:5433/d%20e?sslmode=require", true, "postgresql+psycopg://u:p@h:5433/d%20e?sslmode=require", 1}}},
		{"postgresql:///d?host=/run/pg", Places{}, []Database{{"/run/pg/d", "postgresql:///d?host=/run/pg", true, "postgresql:///d?host=/run/pg", 1}}},
		{"sqlite:////srv/my files/a@b.db", Places{},
			[]Database{{"/srv/my files/a@b.db", "sqlite:////srv/my files/a@b.db", true, "sqlite:////srv/my files/a@b.db", 1}}},
	} {
		got, err := Read(strings.NewReader(c.text), c.places)
		if c.want == nil {
			if err == nil {
				t.Errorf("%q: %+v, want an error", c.text, got)
			}
			continue
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q:\n got %+v %v\nwant %+v", c.text, got, err, c.want)
		}
	}
}

// Every bad line is named by its number, and nothing of it is repeated.
func TestBadLines(t *testing.T) {
	const secret = "hunter22"
	for problem, line := range map[string]string{
		"neither a URL":           "a b",
		"neither":                 "host=db password=hunter22 dbname=a",
		"nor a name":              "a b postgresql://u:hunter22@h/d",
		"no {} to put the name":   "c",
		"not percent-encoded":     "postgresql://u:x@hunter22@h/d",
		"an @, / or :":            "postgresql://u:x@hunter22/y@h/d",
		"of the user":             "postgresql://u/x:hunter22@h/d",
		"not a number":            "postgresql://u:hunter22@h:x/d",
		"names no database":       "postgresql://",
		"not plain UTF-8":         "postgresql://u:hunter22@h/\xff",
		"the database of its URL": "postgresql://u:hunter22@h/%FF",
		"is not plain":            "postgresql://u:hunter22@h/a\x1b[31m",
		"is that of line 2":       "postgresql://x:hunter22@host/first",
		"is longer than 64 KB":    "postgresql://u:hunter22@h/" + strings.Repeat("d", 64<<10),
	} {
		text := "# one\npostgresql://u:hunter22@host/first\n\n" + line + "\nsecond postgresql://u@h/d\n"
		_, err := Read(strings.NewReader(text), Places{URL: "postgresql://u:hunter22@h/all"})
		var bad *LineError
		if !errors.As(err, &bad) || bad.Number != 4 || !strings.Contains(bad.Problem, problem) {
			t.Errorf("%q: %v, want %q", line, err, problem)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q: the message has the password: %v", line, err)
		}
	}
	if _, err := Read(strings.NewReader("postgresql://u@h/d"), Places{Other: true}); err == nil || !strings.Contains(err.Error(), "write NAME URL") {
		t.Errorf("an -x with nothing to put there: %v", err)
	}
	for _, text := range []string{"", "\n\n", "# nothing"} {
		if _, err := Read(strings.NewReader(text), Places{}); !errors.Is(err, ErrEmpty) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFill(t *testing.T) {
	argv := []string{"-x", "tenant={}", "-xschema={}_v1", "-q", "upgrade", "{}", "--", "-x", "{}"}
	want := []string{"-x", "tenant=a", "-xschema=a_v1", "-q", "upgrade", "{}", "--", "-x", "{}"}
	if got := Fill(argv, "a"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if !HasPlaceholder(argv) || HasPlaceholder(argv[4:]) {
		t.Error("HasPlaceholder is wrong")
	}
}

// Whatever the list and its order, the shards are disjoint and the whole together.
func TestShards(t *testing.T) {
	for range 200 {
		list := make([]Database, rand.N(300))
		for i := range list {
			list[i].Name = fmt.Sprintf("%x-%d", rand.Uint32(), i)
		}
		count := 1 + rand.N(uint64(20))
		where := map[string]uint64{}
		for index := range count {
			for _, d := range Part(list, Shard{index, count}) {
				if other, taken := where[d.Name]; taken {
					t.Fatalf("%s is in %d and %d of %d", d.Name, other, index, count)
				}
				where[d.Name] = index
			}
		}
		if len(where) != len(list) {
			t.Fatalf("%d of %d are in a shard of %d", len(where), len(list), count)
		}
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for index := range count {
			for _, d := range Part(list[:len(list)/2], Shard{index, count}) {
				if where[d.Name] != index {
					t.Fatalf("%s has moved", d.Name)
				}
			}
		}
	}
	// Other machines count on it.
	if part := Part([]Database{{Name: "acme"}}, Shard{0, 8}); len(part) != 1 {
		t.Error("the hash has changed")
	}
	for _, bad := range []string{"", "1", "4/4", "-1/4", "1/0", "a/b", "1/2/3", "0/99999999999"} {
		if _, err := ParseShard(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
