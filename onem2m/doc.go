// Package onem2m is the vocabulary of oneM2M: request and response primitives, resource types and their
// attributes as tables, response status codes, the data types of TS-0004 and their text and CBOR forms.
// It does no I/O, reads no clock, and imports nothing of the server.
package onem2m
