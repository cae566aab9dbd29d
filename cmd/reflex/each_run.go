package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	reflexorm "github.com/reflex-dev/reflex-orm"
	"github.com/reflex-dev/reflex-orm/cmd/reflex/internal/databases"
)

// The parent's side of --each. It goes through the list in one goroutine, which
// hands databases to the seats and hears of their ends; each seat has a worker.
type eachRun struct {
	options *eachOptions
	python  string // of --python
	start   workerStart
	began   startAnswer
	list    []databases.Database
	results []*result // by the database's index; nil is not begun
	view    *eachView

	mu      sync.Mutex
	workers map[*worker]struct{} // that run
	ending  sync.WaitGroup
	signal  syscall.Signal // the first, or 0
	alone   bool           // whether each database needs a process of its own
}

// A result is what became of a database that was begun.
type result struct {
	index          int
	database       databases.Database
	answer         workerAnswer
	stdout, stderr string
	reads          bool // the command changes nothing
	alone          bool // it was well in a process of its own only
}

// well reports whether the command has done what it was to.
func (r *result) well() bool { return r.answer.Kind == "ok" || r.answer.Kind == "pipe" }

// An eachError is a run in which not all is well.
type eachError struct{ failed, left, all int }

func (e *eachError) Error() string {
	text := fmt.Sprintf("%d of %d databases failed", e.failed, e.all)
	if e.left > 0 {
		text += fmt.Sprintf(", and %d were not begun", e.left)
	}
	return text
}

// runEach runs one of Alembic's commands on each database of a list.
func runEach(inv *invocation, options *eachOptions, argv []string) error {
	dumpNoCore()
	if err := inv.enter(); err != nil {
		return err
	}
	list, err := options.readList(argv)
	if err != nil {
		return err
	}
	r := &eachRun{
		options: options, python: inv.python, list: list, results: make([]*result, len(list)), workers: map[*worker]struct{}{},
		start: workerStart{Program: inv.program, Version: version(), Argv: argv, INI: reflexorm.AlembicINI},
	}
	files, err := openEachFiles(options)
	if err != nil {
		return err
	}
	defer files.close()

	signals := make(chan os.Signal, 16)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	// With nobody to read what is printed, the migrations still go on.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	seats := make([]seat, max(1, min(options.jobs, len(list))))
	for i := range seats {
		seats[i].run = r
	}
	// The first says whether the command can be run at all.
	ready := make(chan error, 1)
	go func() { ready <- seats[0].sit() }()
	for waiting := true; waiting; {
		select {
		case err = <-ready:
			waiting = false
		case s := <-signals:
			r.interrupt(s)
		}
	}
	if err == nil && r.began.Command == "" { // the help, which is printed
		stdout, _ := seats[0].worker.printed()
		_, err = fmt.Fprint(os.Stdout, stdout)
		r.dismiss(seats[0].worker)
		return err
	}
	if err == nil {
		r.view = newEachView(inv.program, r.began, len(list))
		r.goThrough(seats, signals, files)
		r.view.close()
	}
	for i := range seats {
		seats[i].stand()
	}
	r.wait(signals)
	if err != nil && !r.interrupted() {
		return err
	}
	return r.conclude(files)
}

// wait waits for the workers' ends.
func (r *eachRun) wait(signals <-chan os.Signal) {
	ended := make(chan struct{})
	go func() {
		r.ending.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return
		case s := <-signals:
			r.interrupt(s)
		}
	}
}

// goThrough begins the databases in their order and waits for those that have begun.
func (r *eachRun) goThrough(seats []seat, signals <-chan os.Signal, files *eachFiles) {
	work := make(chan int)
	ended := make(chan *result)
	for i := range seats {
		go func() {
			for index := range work {
				ended <- seats[i].serve(index)
			}
		}()
	}
	defer close(work)

	plan := plan{all: len(r.list), first: r.options.first, keepGoing: r.options.keepGoing}
	for {
		var next chan<- int
		if plan.mayBegin() {
			next = work
		} else if plan.running == 0 {
			return
		}
		select {
		case next <- plan.begun:
			r.view.begin(r.list[plan.begun])
			plan.begin()
		case result := <-ended:
			r.results[result.index] = result
			plan.end(result.well())
			if unread := r.view.end(result); unread && r.began.Answers {
				plan.stopped = true
			}
			files.report(result)
			result.stdout, result.stderr, result.answer.Traceback = "", "", "" // of many, that is much
		case s := <-signals:
			plan.stopped = true
			r.interrupt(s)
		}
	}
}

// interrupt passes a signal on to the workers, and lets no other be started.
func (r *eachRun) interrupt(s os.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number, ok := s.(syscall.Signal); ok && r.signal == 0 {
		r.signal = number
	}
	for w := range r.workers {
		w.signal(s)
	}
}

// conclude sums up.
func (r *eachRun) conclude(files *eachFiles) error {
	failed, left := 0, 0
	for i, result := range r.results {
		switch {
		case result == nil:
			left++
			files.reportLeft(r.list[i])
		case !result.well():
			failed++
		}
	}
	err := files.finish(r.list, r.results)
	if r.view != nil {
		r.view.summary(r)
	}
	switch by := r.interruptedBy(); {
	case by != 0:
		return &signalError{by}
	case failed == 0 && r.view != nil && r.view.unread && r.began.Answers:
		return nil // whoever read our output has seen enough
	case failed+left > 0:
		return &eachError{failed, left, len(r.list)}
	}
	return err
}

// A seat takes databases, one after another, with a worker that is replaced
// where it has to be.
type seat struct {
	run    *eachRun
	worker *worker
}

// sit gives the seat a new worker, once it has said that it can work.
func (s *seat) sit() error {
	w, err := s.run.engage()
	if err != nil {
		return err
	}
	var answer startAnswer
	err = w.ask(s.run.start, &answer)
	if err == nil && answer.Kind == "ok" {
		s.worker = w
		s.run.mu.Lock()
		s.run.began = answer
		s.run.mu.Unlock()
		return nil
	}
	_, stderr := w.printed()
	s.run.dismiss(w)
	fmt.Fprint(os.Stderr, stderr) // argparse's, or of a Python that does not start
	if err != nil {
		return fmt.Errorf("starting a worker: %w", err)
	}
	return &answer.outcome
}

// stand lets the worker end, if there is one.
func (s *seat) stand() {
	if s.worker != nil {
		s.run.dismiss(s.worker)
		s.worker = nil
	}
}

// serve runs one database. What has failed in a process that had others before
// is tried once more in a new one, if nothing was done.
func (s *seat) serve(index int) *result {
	if s.worker != nil && s.worker.served > 0 && s.run.isAlone() {
		s.stand()
	}
	fresh := s.worker == nil || s.worker.served == 0
	result := s.try(index)
	if result.answer.Suspect && !fresh && !s.run.interrupted() {
		s.stand()
		if result = s.try(index); !result.answer.Suspect {
			result.alone = s.run.setAlone()
		}
	}
	return result
}

func (s *seat) try(index int) *result {
	r := &result{index: index, database: s.run.list[index], reads: s.run.reads()}
	if s.worker == nil {
		if err := s.sit(); err != nil {
			r.fail(err, s.run.interruptedBy())
			return r
		}
	}
	w := s.worker
	w.printed() // by what is left of the database before
	w.served++
	request := workerRequest{Argv: databases.Fill(s.run.start.Argv, r.database.Name), Variables: variables(r.database)}
	if r.database.Own {
		request.Expected = r.database.URL
	}
	err := w.ask(request, &r.answer)
	r.stdout, r.stderr = w.printed()
	switch {
	case err != nil:
		s.stand()
		r.fail(err, s.run.interruptedBy())
	case r.answer.Retire || r.answer.Kind == "signal":
		s.stand()
	}
	return r
}

// fail is a result without an answer.
func (r *result) fail(err error, signal syscall.Signal) {
	r.answer = workerAnswer{outcome: outcome{Kind: "failed", Message: err.Error()}}
	var ended *outcome
	if errors.As(err, &ended) {
		r.answer.outcome = *ended
	}
	if signal != 0 {
		r.answer.outcome = outcome{Kind: "signal", Message: (&signalError{signal}).Error(), Signal: int(signal)}
	}
}

// engage starts a worker, unless a signal has come.
func (r *eachRun) engage() (*worker, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.signal != 0 {
		return nil, &signalError{r.signal}
	}
	w, err := newWorker(r.python)
	if err == nil {
		r.workers[w] = struct{}{}
		r.ending.Add(1)
	}
	return w, err
}

// dismiss lets a worker end, which others need not wait for.
func (r *eachRun) dismiss(w *worker) {
	go func() {
		_ = w.end()
		r.mu.Lock()
		delete(r.workers, w)
		r.mu.Unlock()
		r.ending.Done()
	}()
}

func (r *eachRun) interruptedBy() syscall.Signal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.signal
}

func (r *eachRun) reads() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.began.Answers
}

func (r *eachRun) interrupted() bool { return r.interruptedBy() != 0 }

func (r *eachRun) isAlone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alone
}

// setAlone reports whether it is news.
func (r *eachRun) setAlone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := !r.alone
	r.alone = true
	return news
}

// A plan says which database may begin, and when.
type plan struct {
	all, first int // databases, and how many of them go before all others
	keepGoing  bool

	begun, running, failed int
	stopped                bool
}

func (p *plan) mayBegin() bool {
	switch {
	case p.stopped || p.begun == p.all || p.failed > 0 && !p.keepGoing:
		return false
	case p.begun >= p.first && p.begun-p.running < p.first: // some of the first still run
		return false
	case p.begun == p.first && p.failed > 0:
		return false
	}
	return true
}

func (p *plan) begin() { p.begun++; p.running++ }

func (p *plan) end(well bool) {
	p.running--
	if !well {
		p.failed++
	}
}
