# The targets; what they do is in scripts. "make test" needs root on Debian, the others nothing but Go.
# VERSION ends up in the program; Docker has no .git and says it by hand.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: help build unit test bench lint container-check demo stop
help:
	@echo "make build            the static program, dist/allocsync"
	@echo "make demo             shows what it does, without any other system"
	@echo "make unit             tests that need nothing installed"
	@echo "make test             all tests: installs and starts NetBox, Incus and libvirt, stops them after (KEEP=1: leaves them)"
	@echo "make lint             gofmt, go vet, staticcheck, shellcheck"
	@echo "make container-check  lints the container files and does the image's build steps"
	@echo "make bench            measures against a real NetBox and libvirt (KEEP=1: leaves them)"
	@echo "make stop             stops what is left running"

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o dist/allocsync ./cmd/allocsync

demo:
	go run ./cmd/allocsync demo

unit:
	go test ./...

test:
	testbed/test

bench:
	testbed/with all -- go run ./bench $(ARGS)

lint:
	testbed/lint

container-check:
	testbed/container-check

stop:
	testbed/all stop
