# Coracle: `make help` lists the targets. Everything is built from Go modules pinned here and Debian's packages.

SHELL      := /bin/bash
GO         ?= go
BIN        := bin
CORACLE    := $(BIN)/coracle
# Prometheus, gRPC and friends: leave tracing out, it keeps every method of every type alive.
export GOFLAGS := -tags=grpcnotrace -trimpath
GOLANGCI   := v2.15.0
NODES      ?= 1

.DEFAULT_GOAL := help

include build/programs.mk

## up: build everything and start a local cluster with the example running (NODES=n)
.PHONY: up
up: build images
	$(CORACLE) up --nodes $(NODES) --publish 8080:30080
	@build/example.sh $(CORACLE)

## down: remove all that `make up` made: processes, mounts, cgroups, namespaces, links
.PHONY: down
down:
	@if [ -x $(CORACLE) ]; then $(CORACLE) down; fi

## build: bin/coracle with its helper programs inside
.PHONY: build
build: deps programs
	$(GO) build -ldflags '-s -w' -o $(CORACLE) ./cmd/coracle

$(CORACLE): build

## check: format, lint, import policy and unit tests, for every commit
.PHONY: check
check: lint unit

## test: everything that CI runs
.PHONY: test
test: build lint vet unit e2e

.PHONY: vet
vet: deps
	$(GO) vet ./...

## unit: all tests but those on real clusters (PKG=./internal/store/... narrows)
PKG ?= ./internal/... ./cmd/... ./examples/... ./test/live/... ./test/sim/...
.PHONY: unit
unit: deps
	$(GO) test -timeout 15m $(PKG)

## e2e: the tests on real clusters of real containers (RUN=TestName narrows)
RUN ?= .
.PHONY: e2e
e2e: build
	@mkdir -p $(BIN)/images/tool
	CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o $(BIN)/images/tool/tool ./test/e2e/tool
	CORACLE=$(abspath $(CORACLE)) IMAGES=$(abspath $(BIN)/images) $(GO) test -count=1 -timeout 30m -parallel 4 -run '$(RUN)' -v ./test/e2e

## lint: golangci-lint with the rules of STYLE.md
.PHONY: lint
lint: $(BIN)/tools/golangci-lint-$(GOLANGCI)
	$< run

## fmt: format all Go files
.PHONY: fmt
fmt: $(BIN)/tools/golangci-lint-$(GOLANGCI)
	$< fmt

$(BIN)/tools/golangci-lint-$(GOLANGCI):
	@mkdir -p $(@D)
	GOFLAGS= GOBIN=$(abspath $(@D)) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	mv $(@D)/golangci-lint $@

## rewrite: write golden files anew; read the difference before you commit it
.PHONY: rewrite
rewrite:
	$(GO) test $(PKG) -args -rewrite

## bench: upstream's own binaries beside ours, into docs/performance.md
.PHONY: bench
bench: build images
	$(MAKE) -C test/bench

## size: what makes the binary big
.PHONY: size
size: build
	@ls -l $(CORACLE) $(BIN)/programs | awk 'NF>=9{printf "%8.1f MiB  %s\n", $$5/1048576, $$9}'

## help: this list
.PHONY: help
help:
	@sed -n 's/^## \([a-z0-9-]*\): /  make \1\t/p; s/^\([a-z]*\):.* ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18
