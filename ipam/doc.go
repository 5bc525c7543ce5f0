// Package ipam is the vocabulary that the rest of allocsync speaks: what a
// source hands out (Allocation), what NetBox should hold because of it
// (Record), and what NetBox holds (Stored).
//
// Everything here is a plain comparable value: copying is cheap, == means
// "the same", and nothing reaches out to a network, a clock or a log.
// The package imports nothing else of this project.
package ipam
