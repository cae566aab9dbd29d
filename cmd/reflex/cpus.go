package main

import (
	"io/fs"
	"runtime"
	"strconv"
	"strings"
)

// cpus is how many CPUs this process may use: those of the machine, or what a
// container's control group allows, rounded up. root is the file system.
// (Go's own GOMAXPROCS knows it too, and is kept from it: see main.go.)
func cpus(root fs.FS) int {
	read := func(file string) []string {
		text, _ := fs.ReadFile(root, file) // no such file is no limit
		return strings.Fields(string(text))
	}
	limit := read("sys/fs/cgroup/cpu.max") // https://docs.kernel.org/admin-guide/cgroup-v2.html
	if len(limit) == 0 {
		limit = append(read("sys/fs/cgroup/cpu/cpu.cfs_quota_us"), read("sys/fs/cgroup/cpu/cpu.cfs_period_us")...)
	}
	if len(limit) != 2 {
		return runtime.NumCPU()
	}
	quota, err := strconv.ParseFloat(limit[0], 64) // "max", or -1, is none
	period, err2 := strconv.ParseFloat(limit[1], 64)
	if err != nil || err2 != nil || quota <= 0 || period <= 0 {
		return runtime.NumCPU()
	}
	return min(runtime.NumCPU(), max(1, int((quota+period-1)/period)))
}
