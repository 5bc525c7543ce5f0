// Package plan decides what has to change in NetBox. It is pure: the same
// input, in any order, gives the same plan; it has no clock, no log, no error.
//
// # Truth table
//
// Own rows are rows whose owner is one of the configured sources.
//
//	rows at the place                    | claims             | outcome
//	-------------------------------------|--------------------|------------------------------------------------
//	none                                 | one                | create
//	own row, equal                       | one                | nothing
//	own row, different                   | one                | update of what differs
//	own row of another user, of whom a   | one                | hold: incomplete
//	  source that did not answer in full |                    |
//	  states nothing                     |                    |
//	own row of another configured source | one                | handover: update, the NetBox ID stays
//	  that answered in full and no       |                    |
//	  longer claims it                   |                    |
//	row of a source that did not answer  | one                | hold: the row belongs to another owner
//	  in full, or is not configured      |                    |
//	somebody else's row                  | one                | hold: somebody else's row is there
//	somebody else's row whose reserve_at | one                | in step: used_by, sync_type and hwaddr are
//	  names the claiming source          |                    |   filled in where empty, nothing else
//	any                                  | of several sources | whoever has a row there keeps it, else the first
//	                                     |                    |   configured source gets the place; the others
//	                                     |                    |   are held: contested
//	several rows of the claiming source  | one                | the one that names the user, else the lowest ID, is
//	                                     |                    |   kept, the others are deleted
//	own row                              | none, source       | delete (or mark, see Gone)
//	                                     |   answered in full |
//	own row                              | none, source did   | hold: incomplete
//	                                     |   not              |
//	row of an unknown owner              | none               | hold: unknown owner
//
// # Several claims of one source for one place
//
// A source may state several facts about one address: a forward that listens
// on an instance's own address, a stale lease beside a static address. One
// claim wins, the others are held as contested: the one of the lowest
// ipam.Claim.Rank (package mapping documents the ranks: a gateway before a
// load balancer before a forward before the rest, a configured address before
// a lease), then the one whose used_by the row already names, then the first
// in the order of ipam.Claim.Compare.
//
// # What comes after the table
//
// A create and a delete of one owner, user, type, VRF, kind, address family and
// MAC become one update: renumbering keeps the row, its ID and its history. Of
// what is left, a create and a delete of one owner, user, kind and address become
// one update too, whatever their types: the row moves to another VRF. Then
// policy (Allow), then limits (Approve). No change brings a row to a place that
// another change touches, so a plan can be carried out in any order.
package plan
