package embedpy_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing/fstest"

	"github.com/reflex-dev/reflex-orm/embedpy"
)

// It is not run, for an example's goroutine is not the main one. The tests run
// the same in processes of their own.
func Example() {
	ctx := context.Background()
	python, err := embedpy.Find(ctx, embedpy.FindOptions{})
	if err != nil {
		log.Fatal(err)
	}
	in, err := embedpy.Start(python, embedpy.Options{Modules: fstest.MapFS{
		"greeter.py": {Data: []byte("def greet(name): return b'Hello, ' + name")},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()
	answer, err := in.Call(ctx, "greeter", "greet", []byte("world"))
	var exception *embedpy.Error
	if errors.As(err, &exception) {
		log.Print(exception.Traceback)
	}
	fmt.Printf("%s\n", answer)
}
