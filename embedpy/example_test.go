package embedpy_test

import (
	"context"
	"log"
	"os"

	"github.com/reflex-dev/reflex-orm/embedpy"
)

// It is not run, for an example's goroutine is not the main one. The tests run
// the same in processes of their own.
func Example() {
	python, err := embedpy.Find(context.Background(), embedpy.FindOptions{})
	if err != nil {
		log.Fatal(err)
	}
	modules := map[string]string{"greeter.py": "def greet(name):\n    print('Hello,', name)\n    return 0\n"}
	if embedpy.CannotStart(python) != "" {
		log.Fatal(embedpy.Become(python, modules, "greeter", "greet", "world"))
	}
	in, err := embedpy.Start(python, modules)
	if err != nil {
		log.Fatal(err)
	}
	status, err := in.Call("greeter", "greet", "world")
	if err != nil {
		log.Fatal(err)
	}
	if err := in.Close(); err != nil {
		log.Fatal(err)
	}
	os.Exit(status)
}
