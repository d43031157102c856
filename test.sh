#!/bin/sh
# Checks everything that has to hold before a change goes in. Needs Go; for the race detector a C compiler too.
set -eu
cd "$(dirname "$0")"

step() { printf '\n== %s\n' "$*"; }

# The server ships without cgo, so it is checked and tested without.
export CGO_ENABLED=0

step "format, layers, determinism, documents"
go test -count=1 ./internal/lint

step "vet"
go vet -tags scenario ./...

step "staticcheck"
go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags scenario ./...

step "build"
go build -o /dev/null ./cmd/tally

step "tests"
go test -timeout 10m ./...

cc=$(CGO_ENABLED=1 go env CC)
if command -v "${cc%% *}" >/dev/null 2>&1; then
	step "tests with the race detector"
	CGO_ENABLED=1 go test -race -timeout 20m ./...
else
	step "SKIPPED: tests with the race detector"
	echo "The race detector needs a C compiler, and $cc was not found. Install gcc or clang to run them too."
fi

step "scenarios against the real program"
go test -count=1 -tags scenario -timeout 20m ./test/...
