// Package worker runs passes: a Pass is what one does, a Loop and a Schedule
// decide when.
//
// A pass reads the sources, maps what they hand out,
// reads NetBox, makes the plan, has it approved and carries it out.
//
// A pass has two halves. Plan reads and never writes; it is all that a dry run
// does. Carry writes what was approved. A source that fails, in whole or in
// part, counts as one that did not answer in full, and the others are kept in
// step. So does one whose rules name a VRF, tenant, role or tag that NetBox does
// not have: the rows that would carry the name are problems, the others are kept
// in step. What is wrong with the configuration, or with NetBox as a whole, ends
// the pass before anything is written.
//
// A Loop takes reasons to run, from a Schedule, from webhooks, from sources that
// tell of changes, and makes runs of them that never overlap.
package worker
