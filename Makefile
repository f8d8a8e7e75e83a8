# make demo shows it, make test proves it; both need nothing but Go and make.
GO ?= go
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null)
LDFLAGS := -s -w -X main.commit=$(COMMIT)
TOOL := $(GO) tool -modfile=.ci/tools/go.mod
FUZZTIME ?= 30s
BENCHTIME ?= 1s
BUILDAH ?= buildah

# The race detector needs cgo, and that a C compiler.
CC_FOUND := $(shell command -v $$($(GO) env CC) 2>/dev/null)
RACE := $(if $(CC_FOUND),-race,)

.PHONY: build test check fmt vet lint tidy generated demo bench fuzz generate image

build: ## the binary, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/isthmus ./cmd/isthmus

test: ## all tests, with the race detector where there is a C compiler
	@$(if $(RACE),,echo 'make test: no C compiler found, so the race detector is off')
	$(GO) test $(RACE) ./...

check: fmt vet lint tidy generated test ## everything that must hold before a commit

fmt:
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$out" ]; then echo "not gofmt-ed:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

lint:
	$(TOOL) golangci-lint run ./...

tidy:
	$(GO) mod tidy -diff

# Generating again must change nothing, whatever else is not committed yet.
generated:
	@if ! command -v protoc >/dev/null; then echo 'make generated: no protoc found, so generated files are not checked'; exit 0; fi; \
	before=$$(git diff | git hash-object --stdin); $(GO) generate ./...; \
	if [ "$$before" != "$$(git diff | git hash-object --stdin)" ]; then git diff --stat; echo 'generated files were not current: commit what make generate made'; exit 1; fi

demo: ## the whole job in one process
	@$(GO) run ./cmd/isthmus demo

bench: ## every benchmark
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -benchmem ./...

fuzz: ## every fuzz target for FUZZTIME
	@set -e; n=0; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' . | sort); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "$$(dirname $$file) $$target"; n=$$((n+1)); \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$(dirname $$file); \
		done; \
	done; test $$n -gt 0 && echo "$$n fuzz targets"

generate: ## the protobuf code; needs protoc
	$(GO) generate ./...

image: build ## the container image, with buildah
	mkdir -p bin/data # an empty directory: FROM scratch has no mkdir
	$(BUILDAH) bud -t isthmus -f deploy/Containerfile .
