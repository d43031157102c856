// Package lint holds the checks of this repository that compiler, vet and staticcheck do not make: which package may
// import which, determinism of the core, no cgo in the server, sources, documents. They are tests of this package:
//
//	go test -count=1 ./internal/lint
package lint
