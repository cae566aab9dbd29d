package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
)

// cached compares by what the cache directory has. The first run finds nothing, the second
// what an interpreter says of itself, and later ones all. Then the directory may not be
// written, and then there is none.
func (b bench) cached(dir string, turns int) error {
	project, cache := filepath.Join(dir, "3"), filepath.Join(dir, "by-state")
	if _, err := os.Stat(project); err != nil {
		return nil // left out
	}
	states := []string{"first run", "second", "later", "read-only", "none"}
	withoutRights := []string{"env"}
	if os.Geteuid() == 0 { // whom no permission stops
		if _, err := exec.LookPath("setpriv"); err != nil {
			fmt.Println("left out: a read-only cache, because root needs setpriv for it")
			states = append(states[:3], states[4:]...)
		}
		withoutRights = []string{"setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"}
	}
	fmt.Println()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "upgrade head, cache\tturns\tway\twall\tCPU\t")
	wall, cpu := map[[2]string][]float64{}, map[[2]string][]float64{}
	for range turns {
		plain, err := b.measure(project, b.alembic, "upgrade", "head")
		if err != nil {
			return err
		}
		for _, way := range b.ways {
			if err := os.RemoveAll(cache); err != nil {
				return err
			}
			for _, state := range states {
				with, argv := b, append(way.argv[:len(way.argv):len(way.argv)], "upgrade", "head")
				with.env = append(b.env[:len(b.env):len(b.env)], "XDG_CACHE_HOME="+cache)
				switch state {
				case "read-only":
					argv = append(withoutRights[:len(withoutRights):len(withoutRights)], argv...)
					err = eachDirectory(cache, 0o500)
				case "none":
					with.env = append(with.env, "XDG_CACHE_HOME=relative")
					err = eachDirectory(cache, 0o700)
				}
				if err != nil {
					return err
				}
				ours, err := with.measure(project, argv[0], argv[1:]...)
				if err != nil {
					return err
				}
				key := [2]string{state, way.name}
				wall[key] = append(wall[key], ours.wall.Seconds()/plain.wall.Seconds())
				cpu[key] = append(cpu[key], ours.cpu.Seconds()/plain.cpu.Seconds())
			}
		}
	}
	for _, state := range states {
		for _, way := range b.ways {
			key := [2]string{state, way.name}
			fmt.Fprintf(table, "%s\t%d\t%s\t%.2f\t%.2f\t\n", state, turns, way.name, median(wall[key]), median(cpu[key]))
		}
	}
	return table.Flush()
}

// eachDirectory gives a directory and all below it a mode.
func eachDirectory(dir string, mode fs.FileMode) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(path, mode)
		}
		return err
	})
}

// countInstructions compares by instructions, which do not depend on what else the machine
// does. They are those of the process's last program, without the kernel's.
func (b bench) countInstructions(dir string) error {
	if _, err := exec.LookPath("valgrind"); err != nil {
		fmt.Println("left out: instructions, because valgrind is not installed")
		return nil
	}
	fmt.Println()
	for _, command := range []string{"heads", "upgrade head"} {
		plain := 0.0
		for _, way := range append([]way{{name: "alembic", argv: []string{b.alembic}}}, b.ways...) {
			args := append([]string{"--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", "--trace-children=yes"}, way.argv...)
			cmd := exec.Command("valgrind", append(args, strings.Fields(command)...)...)
			cmd.Dir, cmd.Env = filepath.Join(dir, "3"), b.env
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", cmd, err, out)
			}
			_, text, _ := strings.Cut(string(out), "refs:")
			line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
			count, err := strconv.ParseFloat(strings.ReplaceAll(line, ",", ""), 64)
			if err != nil {
				return fmt.Errorf("valgrind tells no number of instructions: %w\n%s", err, out)
			}
			millions := count / 1e6
			if plain == 0 {
				plain = millions
			}
			fmt.Printf("instructions: %-14s %-9s %6.0f million, %.3f of alembic's\n", command, way.name, millions, millions/plain)
		}
	}
	return nil
}
