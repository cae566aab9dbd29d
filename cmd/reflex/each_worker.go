package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/reflex-dev/reflex-orm/embedpy"
)

// The worker's side of --each: one process with Python started once, which
// takes one database after another. Requests come on one descriptor and answers
// go on another, a line of JSON each, so that nothing which is printed is
// mistaken for them. A worker whose requests end is one whose parent has ended:
// it does too, as if by SIGTERM.

// workerCommand is what a worker is called with.
const workerCommand = "each-worker"

// The descriptors that a worker is started with.
const requestsFD, answersFD = 3, 4

// workerStart is the first request; its answer is a startAnswer.
type workerStart struct {
	Program string    `json:"program"`
	Version string    `json:"version"`
	Argv    arguments `json:"argv"`
	INI     string    `json:"ini"`
}

// startAnswer says whether the command can be run (reflex_driver/each).
type startAnswer struct {
	outcome
	Command string `json:"command"` // "" if the help was asked for, and printed
	Answers bool   `json:"answers"`
	Verbose bool   `json:"verbose"`
}

// workerRequest is every other one; its answer is a workerAnswer.
type workerRequest struct {
	Argv      arguments         `json:"argv"`
	Variables map[string]string `json:"variables"`
	Expected  string            `json:"expected"` // the URL of the database, if it has its own
}

// workerAnswer is what became of one database (reflex_driver/each).
type workerAnswer struct {
	outcome
	Before    *[]string `json:"before"`
	After     *[]string `json:"after"`
	Revisions int       `json:"revisions"`
	Seconds   float64   `json:"seconds"`
	Suspect   bool      `json:"suspect"`
	Retire    bool      `json:"retire"`
}

func newWorkerCommand(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:    workerCommand,
		Hidden: true,
		Args:   noArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return runWorker(cmd.Context(), inv) },
	}
}

// parent is the other end of a worker's descriptors.
type parent struct {
	requests *json.Decoder
	answers  *os.File
	numbers  []int
	next     chan json.RawMessage // closed at the parent's end
	busy     atomic.Bool          // from a request to its answer
}

func newParent() (*parent, error) {
	var numbers []int
	for _, fd := range []int{requestsFD, answersFD} {
		number, err := syscall.Dup(fd)
		if err != nil {
			return nil, &usageError{fmt.Errorf("%s is for `reflex db COMMAND --each`", workerCommand)}
		}
		numbers = append(numbers, embedpy.OutOfTheWay(number))
	}
	return &parent{
		requests: json.NewDecoder(os.NewFile(uintptr(numbers[0]), "requests")),
		answers:  os.NewFile(uintptr(numbers[1]), "answers"),
		numbers:  numbers,
		next:     make(chan json.RawMessage),
	}, nil
}

func (p *parent) answer(line []byte) error {
	p.busy.Store(false)
	_, err := p.answers.Write(append(line, '\n'))
	return err
}

// listen reads requests, until the parent's end calls for that of the database
// that is at work.
func (p *parent) listen(interrupted func() bool) {
	defer close(p.next)
	for {
		var request json.RawMessage
		if err := p.requests.Decode(&request); err != nil {
			if p.busy.Load() && !interrupted() {
				_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
			}
			return
		}
		p.busy.Store(true)
		p.next <- request
	}
}

// runWorker takes databases until its parent has no more. The descriptors stay as
// they are, beside those in use, until Python has started: the start may be that
// of another program in this process's place, which begins anew.
func runWorker(ctx context.Context, inv *invocation) error {
	dumpNoCore()
	p, err := newParent()
	if err != nil {
		return err
	}
	python, signals, startErr := startWorker(ctx, inv)
	syscall.Close(requestsFD)
	syscall.Close(answersFD)
	// It goes to the driver as it came, for not every argument is UTF-8.
	var first json.RawMessage
	if err := p.requests.Decode(&first); err != nil {
		return err
	}
	if startErr != nil {
		return p.answer(failedStart(startErr))
	}
	defer python.Close()
	go p.listen(func() bool { return signals.signal() != 0 })

	question, err := json.Marshal(map[string]any{"request": first, "descriptors": p.numbers})
	if err != nil {
		return err
	}
	answer, err := python.Call(ctx, driverModule+".each", "start", question)
	if err != nil {
		answer = failedStart(err)
	}
	if err := p.answer(answer); err != nil {
		return err
	}
	for {
		select {
		case <-signals.news:
			return nil
		case request, ok := <-p.next:
			if !ok {
				return nil
			}
			signals.begin()
			answer, err := python.Call(ctx, driverModule+".each", "run", request)
			if err != nil { // a signal, in the driver's first or last lines
				return err
			}
			if err := p.answer(answer); err != nil {
				return err
			}
		}
	}
}

func startWorker(ctx context.Context, inv *invocation) (*embedpy.Interpreter, *interrupts, error) {
	_, python, err := startPython(ctx, inv, nil)
	if err != nil {
		return nil, nil, err
	}
	signals, err := listenToSignals(python, inv.abort)
	return python, signals, err
}

// failedStart is the answer where there is no Python to give it.
func failedStart(err error) []byte {
	kind := "failed"
	if exitStatus(err) == exitEnvironment {
		kind = "environment"
	}
	answer, _ := json.Marshal(outcome{Kind: kind, Message: err.Error()})
	return answer
}
