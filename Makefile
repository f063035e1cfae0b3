# Needs Go, git, GNU make and a C compiler (for the race detector). `make` alone explains the targets.
# Everything else is built from pinned Go modules into the user's cache folder when first needed.

GO ?= go
VERSION ?= $(shell git describe --tags --match 'v*' --dirty 2>/dev/null || echo dev)

# Settings, on the command line: make deflake RUN=TestAdoption N=50
ARGS ?=
NAME ?= linkspan
SERVICES ?= 1000
FUZZTIME ?= 20s
FUZZ ?=
N ?= 20
# Leaves the clusters of make e2e up until Ctrl-C, with what one scenario installed: that of RUN, else the first that
# does not take it away itself.
KEEP ?=
RUN ?= $(if $(KEEP),TestEveryVoteCountsOnce,.)
SKIP ?=
PKG ?= ./...
# How many packages with API servers are tested at a time. Each starts several processes.
RIG_PARALLEL ?= 1
# For one package. Long enough for a loaded machine of two cores, short enough to end a hang.
UNIT_TIMEOUT ?= 5m
RIG_TIMEOUT ?= 15m
E2E_TIMEOUT ?= $(if $(KEEP),0,60m)

.DEFAULT_GOAL := help
# Targets share the build cache and two cores: in parallel they would only disturb each other.
.NOTPARALLEL:

.PHONY: help
help: ## Explain the targets.
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Use

.PHONY: build
build: ## Build bin/mirror and bin/gateway.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/mirror ./cmd/gateway

.PHONY: images
images: ## Build images of both for amd64 and arm64 as OCI archives in dist/images (NAME=example.org/linkspan).
	$(GO) run ./hack/images -version $(VERSION) -name $(NAME)

.PHONY: demo
demo: build ## Link two real API servers and mirror services; stays up until Ctrl-C (ARGS=--exit ends by itself).
	@$(GO) build -o bin/demo ./test/demo
	@bin/demo $(ARGS)

.PHONY: nodes
nodes: node-needs ## Start two clusters with real nodes and our images, to try the walkthrough in; until Ctrl-C (root on Linux).
	@$(GO) build -o bin/show ./test/nodes/show
	@bin/show $(ARGS)

.PHONY: demo-nodes
demo-nodes: node-needs ## The same, and the walkthrough is performed first (ARGS=--exit: to its end, and that is it).
	@$(GO) build -o bin/show ./test/nodes/show
	@bin/show --walkthrough $(ARGS)

.PHONY: clean
clean: ## Remove what make built in the tree; caches outside it stay.
	rm -rf bin dist

##@ Test

.PHONY: test
test: test-unit test-charts test-rig ## Run all tests, with the race detector.

.PHONY: test-unit
test-unit: ## Run the tests that need no API server.
	$(GO) build ./cmd/... # a test links one: not within its time
	packages=$$(hack/packages unit) && $(GO) test -race -timeout $(UNIT_TIMEOUT) $$packages

.PHONY: test-charts
# Never from the cache: Go does not notice changes of files outside the module, such as the charts.
test-charts: ## Render the charts with Helm's code and compare.
	cd charts/test && $(GO) test -count=1 -timeout $(UNIT_TIMEOUT) ./...

.PHONY: test-rig
test-rig: kube ## Run the tests against real API servers.
	packages=$$(hack/packages rig) && $(GO) test -race -p $(RIG_PARALLEL) -timeout $(RIG_TIMEOUT) $$packages

.PHONY: test-min
test-min: ## Run the tests against API servers of the oldest version supported, v1.34.
	LINKSPAN_KUBE=v1.34 $(MAKE) --no-print-directory test-rig

.PHONY: test-min-core
test-min-core: ## Run the part of them that tells whether that version takes what we render and refuses what it must.
	LINKSPAN_KUBE=v1.34 $(MAKE) --no-print-directory kube
	LINKSPAN_KUBE=v1.34 $(GO) test -race -p $(RIG_PARALLEL) -timeout $(RIG_TIMEOUT) ./test/charts ./test/admission ./api/...

.PHONY: e2e
# One package at a time: each starts clusters. Those of the clusters themselves come first.
e2e: node-needs ## Run users' scenarios on two clusters with real nodes (root on Linux; RUN=pattern; KEEP=1 stops after one, clusters up).
	LINKSPAN_NODES=1 LINKSPAN_E2E_KEEP=$(KEEP) $(GO) test -count=1 -v -p 1 -timeout $(E2E_TIMEOUT) -run '$(RUN)' -skip '$(SKIP)' \
		./test/nodes/$(if $(KEEP),scenarios,...)

.PHONY: e2e-core
e2e-core: node-needs ## Run the part of them that takes minutes.
	LINKSPAN_E2E=core $(MAKE) --no-print-directory e2e SKIP=TestFaults

.PHONY: node-needs
node-needs:
	@hack/nodes/setup

.PHONY: bench
bench: kube ## Measure against real API servers and print a table (SERVICES=5000 for more).
	SERVICES=$(SERVICES) $(GO) run ./test/bench $(ARGS)

.PHONY: bench-gateway
bench-gateway: kube ## Measure the gateway beside HAProxy and print a table (SECONDS=1 ROUNDS=1 for a look).
	$(GO) run ./test/gatewaybench $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZTIME=20s (FUZZ=name picks some).
	hack/fuzz $(FUZZTIME) '$(FUZZ)'

.PHONY: deflake
deflake: kube ## Repeat tests until one fails, at most N=20 times (RUN=pattern, PKG=./pkg/mirror).
	@round=1; while [ $$round -le $(N) ]; do \
		echo "== round $$round of $(N)"; \
		$(GO) test -race -count=1 -p $(RIG_PARALLEL) -timeout $(RIG_TIMEOUT) -run '$(RUN)' $(PKG) || \
			{ echo "deflake: failed in round $$round of $(N)" >&2; exit 1; }; \
		round=$$((round + 1)); \
	done

.PHONY: kube
kube: ## Build etcd and the Kubernetes binaries that tests run, unless they are in the cache.
	$(GO) run ./hack/kube

##@ Check

.PHONY: lint
lint: ## Run golangci-lint and go vet.
	hack/lint/golangci-lint run ./...
	$(GO) vet ./...

.PHONY: fmt
fmt: ## Format the code and order its imports.
	hack/lint/golangci-lint fmt ./...

.PHONY: generate
generate: ## Write all generated files again.
	$(GO) run ./hack/generate
	$(GO) test ./internal/cli -run TestFlagsReferenceIsCurrent -count=1 -update-reference
	$(GO) test ./internal/controller -run TestMetricsReferenceIsCurrent -count=1 -update
	cd charts/test && $(GO) test ./reference -run TestReadmeIsCurrent -count=1 -update
	cd charts/test && $(GO) test . -run TestDefaults -count=1 -update

.PHONY: verify
verify: ## Fail if a module is not tidy or generating changes anything; stage your change first.
	hack/verify
