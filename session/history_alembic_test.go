package session

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// Alembic itself says what a version table holds, in histories with branches, merges
// and dependencies; what is missing must be what was not applied.
func TestStateAgreesWithAlembic(t *testing.T) {
	env := venv.Get(t, venv.Newest(t), "sqlalchemy>=2.1", "alembic", "psycopg[binary]")
	cmd := exec.Command(env.Bin("python"), "testdata/heads.py", "100")
	cmd.Env = venv.CleanEnv()
	cmd.Stderr = os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for decoder := json.NewDecoder(bytes.NewReader(answer)); decoder.More(); {
		var c struct {
			Document      json.RawMessage
			Rows, Applied []string
		}
		if err := decoder.Decode(&c); err != nil {
			t.Fatal(err)
		}
		h, err := ParseHistory(c.Document)
		if err != nil {
			t.Fatalf("%v\n%s", err, c.Document)
		}
		var lacking, missing []string
		for _, r := range h.revisions {
			if !slices.Contains(c.Applied, r.ID) {
				lacking = append(lacking, r.ID)
			}
		}
		state := h.state(c.Rows)
		for _, r := range state.Missing {
			missing = append(missing, r.ID)
		}
		ok := slices.Equal(missing, lacking)
		switch {
		case len(state.Ahead) > 0 && len(missing) > 0: // what can't be known is left out
			seen["both"]++
			ok = !slices.ContainsFunc(missing, func(id string) bool { return !slices.Contains(lacking, id) })
		case len(state.Ahead) > 0:
			seen["ahead"]++
			ok = true
		case len(missing) > 0:
			seen["behind"]++
		default:
			seen["there"]++
		}
		if !ok {
			t.Errorf("rows %v, applied %v: missing %v, want %v\n%s", c.Rows, c.Applied, missing, lacking, c.Document)
		}
	}
	for _, kind := range []string{"there", "behind", "ahead", "both"} {
		if seen[kind] == 0 {
			t.Errorf("no case is %s", kind)
		}
	}
	t.Log(seen)
}
