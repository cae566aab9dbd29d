package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// guest compares the two forms of the command and alembic, in one Python: reflex
// loads it, and it loads reflex, as it does with the wheel.
func (b bench) guest(dir, root string, pairs int) error {
	hosted := filepath.Join(dir, "hosted")
	library := filepath.Join(hosted, "_reflex_db.so")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags", "-s -w", "-o", library, "./cmd/reflex")
	build.Dir, build.Env = root, b.build
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the library: %w\n%s", err, out)
	}
	script := filepath.Join(hosted, "reflex")
	text := "#!" + filepath.Join(filepath.Dir(b.alembic), "python") + "\nimport _reflex_db\n_reflex_db.main()\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		return err
	}
	fmt.Println()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "revisions\tcommand\tpairs\tguest ms\twall of alembic's\tCPU of alembic's\twall of reflex's\tCPU of reflex's\tMB more\t")
	for _, revisions := range []int{3, 300} {
		project := filepath.Join(dir, fmt.Sprint(revisions))
		if _, err := os.Stat(project); err != nil {
			continue // left out
		}
		for _, command := range commands {
			if err := b.compareGuest(table, project, script, revisions, strings.Fields(command), pairs); err != nil {
				return err
			}
		}
	}
	return table.Flush()
}

func (b bench) compareGuest(table *tabwriter.Writer, project, script string, revisions int, args []string, pairs int) error {
	var walls, more []float64
	ratios := map[string][]float64{}
	for i := range pairs + 1 {
		plain, err := b.measure(project, b.alembic, args...)
		if err != nil {
			return err
		}
		embedded, err := b.measure(project, b.reflex, append([]string{"db"}, args...)...)
		if err != nil {
			return err
		}
		guest, err := b.measure(project, script, append([]string{"db"}, args...)...)
		if err != nil {
			return err
		}
		if i == 0 { // the warm-up
			continue
		}
		walls, more = append(walls, guest.wall.Seconds()*1000), append(more, guest.peak-plain.peak)
		for name, other := range map[string]usage{"alembic": plain, "reflex": embedded} {
			ratios[name] = append(ratios[name], guest.wall.Seconds()/other.wall.Seconds())
			ratios[name+" CPU"] = append(ratios[name+" CPU"], guest.cpu.Seconds()/other.cpu.Seconds())
		}
	}
	_, err := fmt.Fprintf(table, "%d\t%s\t%d\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%+.1f\t\n", revisions, strings.Join(args, " "), pairs,
		median(walls), median(ratios["alembic"]), median(ratios["alembic CPU"]), median(ratios["reflex"]), median(ratios["reflex CPU"]), median(more))
	return err
}
