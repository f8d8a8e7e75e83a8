# make demo shows it, make test proves it; both need nothing but Go and make.
GO ?= go
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
VERSION := $(shell sed -n 's/^\tversion = "\(.*\)"/\1/p' cmd/isthmus/version.go)
LDFLAGS := -s -w -X main.commit=$(COMMIT)
TOOL := $(GO) tool -modfile=.ci/tools/go.mod
FUZZTIME ?= 30s
BENCHTIME ?= 1s
BUILDAH ?= buildah
IMAGE ?= isthmus
ARCH ?= $(shell $(GO) env GOARCH)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

# The race detector needs cgo, and that a C compiler with the headers of its library.
CC_WORKS := $(shell [ "$$($(GO) env CGO_ENABLED)" = 1 ] && echo '\#include <stdlib.h>' | $$($(GO) env CC) -E - >/dev/null 2>&1 && echo yes)
RACE := $(if $(CC_WORKS),-race,)

.PHONY: build test test-peers test-reach test-brokers test-monitoring test-pages test-deploy check fmt vet lint tidy generated demo bench fuzz generate image snapshot

build: ## the binary, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/isthmus ./cmd/isthmus

test: ## all tests, with the race detector where there is a C compiler
	@$(if $(RACE),,echo 'make test: no C compiler found, so the race detector is off')
	$(GO) test $(RACE) ./...

test-peers: ## CWMP clients and Controllers that nobody here wrote, end to end; they have to be there
	ISTHMUS_PEERS=1 $(GO) test ./cmd/isthmus -run Peer -count=1 -v

test-reach: ## Connection Requests through a real XMPP server and a NAT; what the machine lacks is skipped
	ISTHMUS_PEERS=1 $(GO) test ./cmd/isthmus -run 'TestPeer(XMPP|NAT)$$' -count=1 -v

test-brokers: ## real MQTT and STOMP brokers; they have to be there
	ISTHMUS_BROKERS=1 $(GO) test ./usp/mtp/... ./translate/conformance ./cmd/isthmus -run Broker -count=1

test-pages: ## the pages of the admin address in Chromium, over 100,000 devices; ISTHMUS_SCREENSHOTS names a directory for what they look like
	ISTHMUS_PAGES=1 $(GO) test ./cmd/isthmus -run 'TestPages$$' -count=1 -v

check: fmt vet lint tidy generated test test-deploy ## everything that must hold before a commit

test-deploy: ## what is in deploy/, with the libraries of those who read it
	cd deploy/check && $(GO) vet ./... && $(GO) test ./...

test-monitoring: ## rules by promtool; rules and dashboard in a Prometheus that scrapes a proxy with a fleet; both have to be installed
	cd deploy && promtool test rules prometheus-rules.test.yml
	ISTHMUS_MONITORING=1 $(GO) test ./cmd/isthmus -run Monitoring -count=1

fmt:
	@out=$$(gofmt -l .); \
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

# go test may report its own deadline as a failure when the time is up in the middle of an input: such a run is repeated, once.
fuzz: ## every fuzz target for FUZZTIME
	@set -e; n=0; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	try() { $(GO) test -run '^$$' -fuzz "^$$1\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$$2" >"$$log" 2>&1; }; \
	late() { grep -q 'context deadline exceeded' "$$log" && ! grep -q 'Failing input' "$$log"; }; \
	for file in $$(grep -rl --include='*_test.go' '^func Fuzz' . | sort); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "$$(dirname $$file) $$target"; n=$$((n+1)); \
			try $$target $$(dirname $$file) || { late && try $$target $$(dirname $$file); } || { cat "$$log"; exit 1; }; tail -n 1 "$$log"; \
		done; \
	done; test $$n -gt 0 && echo "$$n fuzz targets"

generate: ## the protobuf code; needs protoc
	$(GO) generate ./...

# Times are those of the commit and permissions are said in the Containerfile, so that the digest says what is in it and nothing else.
image: ## the container image for ARCH, with buildah: the same commit gives the same digest
	rm -rf bin/image && mkdir -p bin/image/data # FROM scratch has no mkdir
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/image/isthmus ./cmd/isthmus
	$(GO) run -C .ci/tools/roots . >bin/image/ca-certificates.crt
	$(BUILDAH) bud --platform linux/$(ARCH) --timestamp $(SOURCE_DATE_EPOCH) --build-arg REVISION=$(COMMIT) --build-arg VERSION=$(VERSION) \
		-t $(IMAGE) -f deploy/Containerfile bin/image

snapshot: ## what a release has, in bin/release: archives, .deb, .rpm, SBOMs, checksums
	$(GO) build -modfile=.ci/tools/release/go.mod -o bin/tools/ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
	PATH="$(CURDIR)/bin/tools:$$PATH" VERSION=$(VERSION) $(GO) tool -modfile=.ci/tools/release/go.mod goreleaser release -f deploy/goreleaser.yaml --snapshot --clean
