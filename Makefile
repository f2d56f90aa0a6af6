# The versions of the tools that are no part of the program.
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GO      ?= go
E2E      = -tags e2e -timeout 50m

export CGO_ENABLED = 0

.PHONY: build demo demo-all test unit e2e lint golden bench corpus fuzz

build:
	$(GO) build -trimpath -o bin/exuvia ./cmd/exuvia

# Builds the example as every variant that does not take minutes, boots and asks
# each, and shows them side by side.
demo: build
	./bin/exuvia compare --html bin/compare.html examples/rest-app

# The same with the variants that do take minutes.
demo-all: build
	./bin/exuvia compare --all --html bin/compare.html examples/rest-app

# All tests: lint, unit and script tests, then real images.
test: lint unit e2e

lint:
	$(GO) vet ./...
	$(GO) vet -tags e2e ./...
	$(GO) run $(GOLANGCI) run --build-tags e2e ./...

unit:
	$(GO) test ./...

e2e:
	$(GO) test $(E2E) ./...

# Rewrites the golden files; look at the difference before committing it.
golden:
	$(GO) test ./internal/dockerfile ./internal/report ./internal/variant -update

bench: build
	$(GO) run ./bench

# Builds, compares and measures the applications of corpus/, slim and lean.
corpus: build
	$(GO) run ./corpus

# A minute for every parser of what comes from outside.
fuzz:
	./hack/fuzz 60s
