# Every target is one command, and sets up what it needs under .cache.

# cpy3 asks pkg-config for Python's headers; this script answers with the ones
# in embedpy/capi, so that no CPython and no pkg-config are needed to build.
export PKG_CONFIG := '$(CURDIR)/embedpy/capi/pkg-config'

# On macOS TMPDIR leads through a link, and a program there sees the real path.
ifdef TMPDIR
export TMPDIR := $(realpath $(TMPDIR))
endif

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
PYTHON ?= python3
CACHE  := $(CURDIR)/.cache
LINT   := $(CACHE)/lint
DOCS   := $(CACHE)/docs
COVERAGE := $(CACHE)/coverage
BIN    ?= bin/reflex
TIMEOUT ?= 80m
GOTEST   = go test -json -count=1 -timeout $(TIMEOUT)
REPORT  := go run ./tests/report
ONE     := ^(TestEveryInterpreter|TestConcurrentRuns|TestLockTimeout)$$
FUZZTIME ?= 1m

TOOL        := go tool -modfile=$(CURDIR)/tools/go.mod
PACKAGES    := ./...
# examples/service is a module of its own, tested and linted with all the rest
ALL          = $(filter ./...,$(PACKAGES))
RUFF        := $(LINT)/bin/ruff
SCRIPTS     := $(wildcard docs/*.py) embedpy tests examples/shop/shop session/testdata # Python outside of pyshim

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/reflex, the command
	go build -trimpath -ldflags "-s -w -X main.release=$(VERSION)" -o $(BIN) ./cmd/reflex

.PHONY: demo
demo: build ## examples/shop, from models to a migrated SQLite database
	examples/demo.sh $(CURDIR)/bin/reflex $(PYTHON) $(CACHE)/demo

.PHONY: test
test: ## all tests, on every interpreter found and a PostgreSQL of their own
	$(REPORT) '$(GOTEST) $(PACKAGES)' $(if $(ALL),'cd examples/service && $(GOTEST) ./...')

.PHONY: check
check: ## in a minute: the tests that need no server, on the newest interpreter
	REFLEX_TEST_PYTHONS=newest $(REPORT) '$(GOTEST) -short ./cmd/... ./embedpy/... ./session/... ./tests/python ./tests/urls'

.PHONY: test-one
test-one: ## in four minutes: the command on the newest interpreter, SQLite and PostgreSQL
	REFLEX_TEST_PYTHONS=newest $(REPORT) '$(GOTEST) -run "$(ONE)" ./tests'

.PHONY: test-become
test-become: ## the tests of the command, where it becomes a Python that uses no libpython
	REFLEX_TEST_FORM=become go test -count=1 -timeout $(TIMEOUT) ./tests

.PHONY: test-console
test-console: ## the tests of the command, started by the Python package's script
	REFLEX_TEST_FORM=console go test -count=1 -timeout $(TIMEOUT) ./tests

.PHONY: test-arm64
test-arm64: $(CACHE)/build/done ## the command for arm64 in Debian's Python for it, under qemu-user
	go run ./tests/pgtest/run bash tests/arm64/test.sh $(CACHE)

# In an environment's directory; Windows has its own name for it.
EXECUTABLES  := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
SYSTEMS       = $(CACHE)/systems/$(EXECUTABLES)/python
WITH_POSTGRES = $(if $(filter Windows_NT,$(OS)),,go run ./tests/pgtest/run)

.PHONY: test-wheel
test-wheel: wheel ## the wheel, and the program without cgo: SQLite, PostgreSQL (not on Windows), interrupts, --each
	$(PYTHON) -m venv --clear $(CACHE)/systems
	$(SYSTEMS) -m pip install --quiet --disable-pip-version-check \
		dist/*.whl aiosqlite asyncpg 'psycopg[binary]' psycopg2-binary pytest
	$(WITH_POSTGRES) $(SYSTEMS) -m pytest -rs tests/systems
	CGO_ENABLED=0 $(MAKE) build BIN=$(CACHE)/reflex-db.exe # Windows wants the .exe
	REFLEX_TEST_PROGRAM=$(CACHE)/reflex-db.exe $(WITH_POSTGRES) $(SYSTEMS) -m pytest -rs tests/systems

.PHONY: test-windows
test-windows: wheel ## the same in Windows' CPython under wine, with PostgreSQL; session's unit tests
	go run ./tests/windows $(CACHE)/build/bin/python dist/*.whl

.PHONY: test-alembic
test-alembic: ## Alembic's own tests in the embedded interpreter, on every interpreter found
	REFLEX_TEST_FULL=1 go test -v -count=1 -timeout $(TIMEOUT) ./tests/alembicsuite

.PHONY: soak
soak: ## kill 200 upgrades at random moments and finish each; interrupt 300; --polite under load
	REFLEX_TEST_ROUNDS=12 go test -v -count=1 -timeout 60m -run TestInterruptedAtRandomMoments ./tests
	REFLEX_TEST_ROUNDS=40 go test -v -count=1 -timeout 60m -run TestKilledRunIsFinishedByTheNext ./tests
	REFLEX_TEST_ROUNDS=1 go test -v -count=1 -timeout 10m -run TestPoliteUnderLoad ./tests

.PHONY: bench
bench: ## reflex db beside alembic, session beside pgxpool, test databases: ratios of one run
	go run ./bench -python $(PYTHON) -svg docs/pictures/bench.svg
	go test ./session ./session/sessiontest -run XXX -bench . -benchtime 2s

.PHONY: coverage
coverage: ## what the tests of cmd, embedpy, session and pyshim reach; those of ./tests run whole programs
	mkdir -p $(COVERAGE)
	REFLEX_TEST_PYTHONS=newest go test -count=1 -timeout $(TIMEOUT) -coverprofile $(COVERAGE)/go \
		-coverpkg ./cmd/...,./embedpy/...,./session/... ./cmd/... ./embedpy/... ./session/...
	go tool cover -func $(COVERAGE)/go | tail -1
	REFLEX_TEST_PYTHONS=newest REFLEX_TEST_COVERAGE=$(COVERAGE) go test -v -count=1 -timeout $(TIMEOUT) -run 'TestReflexORM/.*2.2' ./tests/python

.PHONY: fuzz
fuzz: ## ParseURL: never panics, leaks nothing, and agrees with SQLAlchemy
	go test ./session -run XXX -fuzz FuzzParseURL -fuzztime $(FUZZTIME) -parallel 1
	go test ./tests/urls -run XXX -fuzz FuzzAgainstSQLAlchemy -fuzztime $(FUZZTIME) -parallel 1

.PHONY: golden
golden: ## ask SQLAlchemy and its drivers again what tests/urls/cases.txt mean
	go test ./tests/urls -run TestGolden -update

.PHONY: lint
lint: lint-go lint-python ## gofmt, go vet, staticcheck; ruff and mypy

.PHONY: lint-go
lint-go:
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	go vet $(PACKAGES)
	GOOS=darwin go vet ./session/...
	GOOS=windows go vet ./session/...
	CGO_ENABLED=0 go vet ./embedpy ./cmd/...
	CGO_ENABLED=0 GOOS=darwin go vet ./cmd/...
	CGO_ENABLED=0 GOOS=windows go vet ./cmd/...
	$(TOOL) staticcheck $(PACKAGES)
	$(if $(ALL),cd examples/service && go vet ./... && $(TOOL) staticcheck ./...)
	$(TOOL) actionlint

.PHONY: lint-python
lint-python: $(LINT)/done
	cd pyshim && $(RUFF) check . && $(RUFF) format --check . && $(LINT)/bin/mypy
	$(RUFF) check --config pyshim/pyproject.toml --ignore D1,BLE $(SCRIPTS)
	$(RUFF) format --check --config pyshim/pyproject.toml $(SCRIPTS)
	cd pyshim && $(LINT)/bin/mypy ../embedpy/bootstrap.py ../embedpy/probe.py
	cd pyshim && $(LINT)/bin/mypy --platform win32 reflex_driver reflex_orm
	cd pyshim && $(LINT)/bin/mypy --platform darwin reflex_driver reflex_orm

$(LINT)/done: pyshim/lint-requirements.txt
	$(PYTHON) -m venv --clear $(LINT)
	$(LINT)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: docs
docs: $(DOCS)/done ## .cache/docs/site: the pages and the references; a warning is an error
	$(DOCS)/bin/python docs/reference.py | diff -u docs/reference/command.md - # else: make reference
	$(DOCS)/bin/sphinx-build --quiet --fail-on-warning --keep-going -E -d $(DOCS)/doctrees docs $(DOCS)/site
	! grep -rlF '$(CURDIR)' $(DOCS)/site # no path of a machine

.PHONY: reference
reference: $(DOCS)/done ## docs/reference/command.md: what the help of each command says
	$(DOCS)/bin/python docs/reference.py > docs/reference/command.md

.PHONY: pictures
pictures: $(DOCS)/done ## docs/pictures/terminal.svg, from a run of the command
	go run ./tests/pgtest/run $(DOCS)/bin/python docs/terminal.py

$(DOCS)/done: docs/requirements.txt
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: wheel
wheel: $(CACHE)/build/done ## dist/: the Python package, for every system, and its sdist
	rm -rf dist
	$(CACHE)/build/$(EXECUTABLES)/python -m build --outdir dist pyshim

# zig is a C compiler with every version of glibc in it. The others have no C in them:
# they become the project's Python, or start it.
.PHONY: binaries
binaries: $(CACHE)/build/done ## dist/: the command for Linux (glibc 2.17 and later, musl), macOS and Windows
	$(MAKE) for-linux ARCH=amd64 MACHINE=x86_64
	$(MAKE) for-linux ARCH=arm64 MACHINE=aarch64
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(MAKE) build BIN=dist/reflex-musl-amd64
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(MAKE) build BIN=dist/reflex-musl-arm64
	CGO_ENABLED=0 GOOS=darwin GOARCH=amd64 $(MAKE) build BIN=dist/reflex-macos-amd64
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(MAKE) build BIN=dist/reflex-macos-arm64
	CGO_ENABLED=0 GOOS=windows GOARCH=amd64 $(MAKE) build BIN=dist/reflex-windows-amd64.exe
	go run ./tests/binaries dist

.PHONY: for-linux
for-linux: export CGO_ENABLED = 1
for-linux: export GOARCH = $(ARCH)
for-linux: export CC = $(CACHE)/build/bin/python -m ziglang cc -target $(MACHINE)-linux-gnu.2.17
for-linux:
	$(MAKE) build BIN=dist/reflex-linux-$(ARCH)

.PHONY: release
release: wheel binaries ## dist/: all that is published, with checksums
	cd dist && sha256sum * > SHA256SUMS

$(CACHE)/build/done: Makefile
	$(PYTHON) -m venv --clear $(CACHE)/build
	$(CACHE)/build/$(EXECUTABLES)/python -m pip install --quiet --disable-pip-version-check build ziglang==0.17.1
	touch $@

.PHONY: clean
clean: ## remove what was built and cached
	rm -rf bin dist .cache
