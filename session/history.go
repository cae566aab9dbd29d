package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// largestHistory is some 20,000 revisions; what is larger is another file.
const largestHistory = 8 << 20

// A History is the revisions that a project had when its history was written, for
// a service to compare a database with. It never changes, and any number of
// goroutines may use it.
type History struct {
	revisions []Revision     // in the order in which they are applied
	needs     [][]int        // by each revision: those that it follows or depends on
	index     map[string]int // of a revision's id in revisions
	heads     []string       // those that the service needs, and
	required  []bool         // all that these need
	branches  []string       // of Branches
	table     pgx.Identifier
	refuse    bool // a database that is ahead
}

// A Revision is a migration script of the project.
type Revision struct {
	ID      string
	Message string
	File    string // relative to the script directory
}

// String is the id, with the first line of the message where there is one.
func (r Revision) String() string {
	first, _, _ := strings.Cut(r.Message, "\n")
	if first == "" {
		return r.ID
	}
	return fmt.Sprintf("%s (%s)", r.ID, first)
}

// A HistoryOption says how a project keeps its history, and what a service makes of it.
type HistoryOption func(*History) error

// VersionTable is the table where the project keeps its revisions, if env.py gives
// context.configure another version_table than alembic_version, or a
// version_table_schema. An empty schema leaves it to the search path.
func VersionTable(schema, table string) HistoryOption {
	return func(h *History) error {
		if table == "" {
			return errors.New("session: VersionTable needs the table's name")
		}
		h.table = pgx.Identifier{table}
		if schema != "" {
			h.table = pgx.Identifier{schema, table}
		}
		return nil
	}
}

// Branches limits what the service needs to these branches of the history, with all
// that they depend on. A branch is named by its label, or by a revision from which
// it descends. Without this option, every head has to be there.
func Branches(names ...string) HistoryOption {
	return func(h *History) error {
		if len(names) == 0 {
			return errors.New("session: Branches needs the label of a branch")
		}
		h.branches = names
		return nil
	}
}

// RefuseAhead makes a database that is ahead of the history a [*SchemaAheadError]. A
// revision that the history doesn't know may be of any branch, also one that the
// service doesn't need.
func RefuseAhead() HistoryOption {
	return func(h *History) error {
		h.refuse = true
		return nil
	}
}

// document is the form 1 of what `reflex db history --json` writes.
type document struct {
	Form    *int     `json:"form"`
	Heads   []string `json:"heads"`
	History []struct {
		Revision     string   `json:"revision"`
		Parents      []string `json:"parents"`
		DependsOn    []string `json:"depends_on"`
		BranchLabels []string `json:"branch_labels"`
		Message      string   `json:"message"`
		File         string   `json:"file"`
	} `json:"history"`
}

// ParseHistory reads what `reflex db history --json` or `reflex db status --json`
// wrote, for a service to embed:
//
//	//go:generate sh -c "reflex -C ../shop db history --json >schema.json"
//	//go:embed schema.json
//	var schema []byte
//
// It is an error if that is anything else, or not whole: a revision twice, one whose
// parent is missing, heads that aren't the ends of the history.
func ParseHistory(text []byte, opts ...HistoryOption) (*History, error) {
	h := &History{index: map[string]int{}, table: pgx.Identifier{"alembic_version"}}
	for _, option := range opts {
		if err := option(h); err != nil {
			return nil, err
		}
	}
	doc, err := readDocument(text)
	if err == nil {
		err = h.link(doc)
	}
	if err == nil {
		err = h.checkHeads(doc)
	}
	if err != nil {
		return nil, fmt.Errorf("session: not a history as `reflex db history --json` writes it: %w", err)
	}
	if err := h.require(doc); err != nil {
		return nil, err
	}
	return h, nil
}

// Heads are the heads of the history, those of its [Branches] if these were named.
func (h *History) Heads() []string { return slices.Clone(h.heads) }

func readDocument(text []byte) (*document, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("it is empty")
	}
	if len(text) > largestHistory {
		return nil, fmt.Errorf("it has %d bytes, where %d are the limit", len(text), largestHistory)
	}
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if doc.Form == nil {
		return nil, errors.New(`it has no "form"`)
	}
	if *doc.Form != 1 {
		return nil, fmt.Errorf("its form is %d, and this version of the package reads form 1", *doc.Form)
	}
	if len(doc.History) == 0 {
		return nil, errors.New("it has no revision, so that any database would do")
	}
	return &doc, nil
}

// link takes the revisions over, and finds those that each one needs. These stand
// before it, so there can be no cycle.
func (h *History) link(doc *document) error {
	listed := map[string]bool{}
	for _, r := range doc.History {
		listed[r.Revision] = true
	}
	for i, r := range doc.History {
		if r.Revision == "" {
			return fmt.Errorf("number %d of its revisions has no id", i+1)
		}
		if _, twice := h.index[r.Revision]; twice {
			return fmt.Errorf("it has revision %q twice", r.Revision)
		}
		var needs []int
		for _, id := range slices.Concat(r.Parents, r.DependsOn) {
			j, before := h.index[id]
			if !before && listed[id] {
				return fmt.Errorf("revision %q needs %q and doesn't come after it: "+
					"the list is not in order, or there is a cycle in it", r.Revision, id)
			}
			if !before {
				return fmt.Errorf("revision %q needs %q, which it doesn't have", r.Revision, id)
			}
			needs = append(needs, j)
		}
		h.index[r.Revision] = i
		h.needs = append(h.needs, needs)
		h.revisions = append(h.revisions, Revision{ID: r.Revision, Message: r.Message, File: r.File})
	}
	return nil
}

// checkHeads compares the heads with the ends of the branches. A revision that only
// others depend on ends a branch, and `upgrade heads` doesn't have to name it.
func (h *History) checkHeads(doc *document) error {
	followed := h.followed(doc)
	for _, head := range doc.Heads {
		if i, known := h.index[head]; !known || followed[i] {
			return fmt.Errorf("it has %q as a head, which is not the end of a branch in it", head)
		}
	}
	needed := make([]bool, len(h.revisions))
	for _, needs := range h.needs {
		for _, j := range needs {
			needed[j] = true
		}
	}
	for i, r := range h.revisions {
		if !needed[i] && !slices.Contains(doc.Heads, r.ID) {
			return fmt.Errorf("it doesn't have %q as a head, which is the end of a branch in it", r.ID)
		}
	}
	return nil
}

// followed is which revisions are the parent of another one.
func (h *History) followed(doc *document) []bool {
	followed := make([]bool, len(h.revisions))
	for _, r := range doc.History {
		for _, id := range r.Parents {
			followed[h.index[id]] = true
		}
	}
	return followed
}

// require finds the heads that the service needs, and what these need.
func (h *History) require(doc *document) error {
	within := make([]bool, len(h.revisions)) // one of the branches
	for _, name := range h.branches {
		found := false
		for i, r := range doc.History {
			if r.Revision == name || slices.Contains(r.BranchLabels, name) {
				within[i], found = true, true
			}
		}
		if !found {
			return fmt.Errorf("session: the history has no branch %q", name)
		}
	}
	followed := h.followed(doc)
	h.required = make([]bool, len(h.revisions))
	for i, r := range doc.History {
		for _, id := range r.Parents {
			within[i] = within[i] || within[h.index[id]]
		}
		if !followed[i] && (within[i] || h.branches == nil) {
			h.heads = append(h.heads, r.Revision)
			h.required[i] = true
		}
	}
	h.withNeeds(h.required)
	return nil
}

// withNeeds adds to a set of revisions all that these need.
func (h *History) withNeeds(set []bool) {
	for i := len(set) - 1; i >= 0; i-- {
		if set[i] {
			for _, j := range h.needs[i] {
				set[j] = true
			}
		}
	}
}
