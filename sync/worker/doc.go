// Package worker runs one pass: it reads the sources, maps what they hand out,
// reads NetBox, makes the plan, has it approved and carries it out.
//
// A pass has two halves. Plan reads and never writes; it is all that a dry run
// does. Carry writes what was approved. Whatever goes wrong with one source
// stays with that source: it counts as one that did not answer in full, and the
// others are kept in step.
package worker
