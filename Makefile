# `make run` runs the main job, `make test` passes the tests.
export CGO_ENABLED := 0

version := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
build   := go build -trimpath -ldflags '-s -w -X main.version=$(version)'

.PHONY: build run test check race sim torture powercut fuzz functions bench cross clean

build: ## bin/millrace
	$(build) -o bin/millrace ./cmd/millrace

run: build ## the quick start: broker, simulated machines, two pipelines
	./bin/millrace run configs/quickstart.yaml

test: deps check race cross ## everything that must pass

deps: ## what the tests need (apt packages)
	@scripts/test-deps

check: build ## formatting, vet, and the scripts beside every configuration
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt -w on these'; exit 1; }
	go vet ./...
	./bin/millrace test configs

race: ## all tests, with the race detector
	CGO_ENABLED=1 go test -race -timeout 10m ./...

SEEDS ?= 2
SEED ?= 1
sim: ## the whole daemon in made-up worlds; make sim SEEDS=1000 SEED=0 for new ones
	go test -timeout 60m -run 'Seed|Weather|Lies|Memory' ./internal/sim -seeds $(SEEDS) -seed $(SEED)

KILLS ?= 10000
torture: ## kill -9 under load, again and again; make torture KILLS=100
	go test -timeout 0 -v -run Kills ./bench/torture -kills $(KILLS)

CUTS ?= 1000
powercut: ## the same with the power of the disk; needs root; make powercut CUTS=20
	go test -timeout 0 -v -run Power ./bench/torture -cuts $(CUTS)

cross: ## the other machines it must build for
	GOARCH=arm64 $(build) -o bin/millrace-arm64 ./cmd/millrace
	GOARCH=arm GOARM=7 $(build) -o bin/millrace-armv7 ./cmd/millrace

functions: ## build the shipped WebAssembly functions from functions/builtin/*.c
	scripts/functions.sh

bench: build ## ratios against native Go, a bare program and mosquitto
	go test -run '^$$' -bench InProcess -benchtime 2s ./bench
	go run ./bench/cmd/bench

clean:
	rm -rf bin
