package main

import (
	"runtime"
	"testing"
	"testing/fstest"
)

func TestCPUs(t *testing.T) {
	all := runtime.NumCPU()
	for want, files := range map[int][]map[string]string{
		all: {
			{}, {"cpu.max": "max 100000\n"}, {"cpu.max": ""}, {"cpu.max": "x y"}, {"cpu.max": "100000 0"}, {"cpu.max": "9900000 100000"},
			{"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
		},
		min(all, 1): {{"cpu.max": "50000 100000\n"}, {"cpu.max": "100000 100000\n"},
			{"cpu/cpu.cfs_quota_us": "20000\n", "cpu/cpu.cfs_period_us": "100000\n"}},
		min(all, 2): {{"cpu.max": "100001 100000\n"}, {"cpu.max": "200000 100000\n"}},
	} {
		for _, content := range files {
			root := fstest.MapFS{}
			for name, text := range content {
				root["sys/fs/cgroup/"+name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := cpus(root); got != want {
				t.Errorf("%v: %d, want %d", content, got, want)
			}
		}
	}
}
