package capi

import "sync"

// A registry numbers values from 1 on, so that C can hold on to them.
type registry[T any] struct {
	mu     sync.Mutex
	last   int
	values map[int]T
}

func (r *registry[T]) add(v T) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.values == nil {
		r.values = map[int]T{}
	}
	r.last++
	r.values[r.last] = v
	return r.last
}

// get returns the zero value for a number that is not there.
func (r *registry[T]) get(number int) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.values[number]
}

func (r *registry[T]) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.values)
}
