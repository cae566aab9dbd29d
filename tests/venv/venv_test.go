package venv

import "testing"

func TestEnvironmentIsReused(t *testing.T) {
	python := Newest(t)
	first := Get(t, python)
	if second := Get(t, python); second != first {
		t.Errorf("got %v, then %v", first, second)
	}
}
