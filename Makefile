# Every target is one command, and sets up what it needs under .cache.

# cpy3 asks pkg-config for Python's headers; this script answers with the ones
# in embedpy/capi, so that no CPython and no pkg-config are needed to build.
export PKG_CONFIG := '$(CURDIR)/embedpy/capi/pkg-config'

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
PYTHON ?= python3
CACHE  := $(CURDIR)/.cache
LINT   := $(CACHE)/lint
TIMEOUT ?= 45m
FUZZTIME ?= 1m

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
PACKAGES    := ./...
# examples/service is a module of its own, tested and linted with all the rest
ALL          = $(filter ./...,$(PACKAGES))
RUFF        := $(LINT)/bin/ruff
SCRIPTS     := embedpy tests examples/shop/shop session/testdata # Python outside of pyshim

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/reflex
	go build -ldflags "-X main.release=$(VERSION)" -o bin/reflex ./cmd/reflex

.PHONY: demo
demo: build ## examples/shop, from models to a migrated SQLite database
	examples/demo.sh $(CURDIR)/bin/reflex $(PYTHON) $(CACHE)/demo

.PHONY: test
test: ## all tests, on every interpreter found and a PostgreSQL of their own
	go test -count=1 -timeout $(TIMEOUT) $(PACKAGES)
	$(if $(ALL),cd examples/service && go test -count=1 -timeout $(TIMEOUT) ./...)

.PHONY: test-alembic
test-alembic: ## Alembic's own tests in the embedded interpreter, on every interpreter found
	REFLEX_TEST_FULL=1 go test -v -count=1 -timeout $(TIMEOUT) ./tests/alembicsuite

.PHONY: soak
soak: ## kill 200 upgrades at random moments and finish each; interrupt 300
	REFLEX_TEST_ROUNDS=12 go test -v -count=1 -timeout 60m -run TestInterruptedAtRandomMoments ./tests
	REFLEX_TEST_ROUNDS=40 go test -v -count=1 -timeout 60m -run TestKilledRunIsFinishedByTheNext ./tests

.PHONY: bench
bench: ## reflex db beside alembic, session beside pgxpool, test databases: ratios of one run
	go run ./bench -python $(PYTHON)
	go test ./session ./session/sessiontest -run XXX -bench . -benchtime 2s

.PHONY: fuzz
fuzz: ## ParseURL: never panics, leaks nothing, and agrees with SQLAlchemy
	go test ./session -run XXX -fuzz FuzzParseURL -fuzztime $(FUZZTIME) -parallel 1
	go test ./tests/urls -run XXX -fuzz FuzzAgainstSQLAlchemy -fuzztime $(FUZZTIME) -parallel 1

.PHONY: golden
golden: ## ask SQLAlchemy and its drivers again what tests/urls/cases.txt mean
	go test ./tests/urls -run TestGolden -update

.PHONY: lint
lint: $(LINT)/done ## gofmt, go vet, staticcheck; ruff and mypy
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	go vet $(PACKAGES)
	go run $(STATICCHECK) $(PACKAGES)
	$(if $(ALL),cd examples/service && go vet ./... && go run $(STATICCHECK) ./...)
	cd pyshim && $(RUFF) check . && $(RUFF) format --check . && $(LINT)/bin/mypy
	$(RUFF) check --config pyshim/pyproject.toml --ignore D1,BLE $(SCRIPTS)
	$(RUFF) format --check --config pyshim/pyproject.toml $(SCRIPTS)
	cd pyshim && $(LINT)/bin/mypy ../embedpy/bootstrap.py ../embedpy/probe.py

$(LINT)/done: pyshim/lint-requirements.txt
	$(PYTHON) -m venv --clear $(LINT)
	$(LINT)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: wheel
wheel: $(CACHE)/build/done ## dist/: the Python package, with the command inside
	rm -rf dist
	$(CACHE)/build/bin/python -m build --outdir dist pyshim

$(CACHE)/build/done:
	$(PYTHON) -m venv --clear $(CACHE)/build
	$(CACHE)/build/bin/python -m pip install --quiet --disable-pip-version-check build
	touch $@

.PHONY: clean
clean: ## remove what was built and cached
	rm -rf bin dist .cache
