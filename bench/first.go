package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// first compares where Python writes no bytecode: the packages are as they were
// downloaded, and PYTHONDONTWRITEBYTECODE is set, as in many a container.
func (b bench) first(dir string, pairs int) error {
	env := filepath.Join(dir, "fresh")
	fresh := exec.Command("sh", "-c", `cp -R "$0" "$1" && find "$1" -name __pycache__ -exec rm -r {} +`, filepath.Dir(filepath.Dir(b.alembic)), env)
	if out, err := fresh.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	b.env = append(b.env[:len(b.env):len(b.env)], "VIRTUAL_ENV="+env, "PYTHONDONTWRITEBYTECODE=1", "XDG_CACHE_HOME="+filepath.Join(dir, "first"))
	project, python := filepath.Join(dir, "3"), filepath.Join(env, "bin", "python")
	if _, err := os.Stat(project); err != nil {
		return nil // left out
	}
	fmt.Println()
	for _, command := range commands {
		args := strings.Fields(command)
		var walls, ratios []float64
		once := 0.0
		if err := os.RemoveAll(filepath.Join(dir, "first")); err != nil {
			return err
		}
		for i := range pairs + warmUps {
			plain, err := b.measure(project, python, append([]string{"-m", "alembic"}, args...)...)
			if err != nil {
				return err
			}
			ours, err := b.measure(project, b.reflex, append([]string{"db"}, args...)...)
			if err != nil {
				return err
			}
			if i == 0 {
				once = ours.wall.Seconds() / plain.wall.Seconds()
			}
			if i < warmUps {
				continue
			}
			walls, ratios = append(walls, plain.wall.Seconds()*1000), append(ratios, ours.wall.Seconds()/plain.wall.Seconds())
		}
		fmt.Printf("no bytecode: %-14s alembic %4.0f ms, reflex: the first run %.2f of it, the next %.2f\n", command, median(walls), once, median(ratios))
	}
	return nil
}
