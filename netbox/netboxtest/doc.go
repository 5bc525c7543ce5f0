// Package netboxtest is the embedded NetBox: an in-memory HTTP server that
// answers the part of NetBox's REST API which allocsync uses, with NetBox's own
// validation, filters, pagination, error texts and quirks, for the versions
// 3.7.8, 4.2.9 and 4.7.3.
//
// It is held to real servers by replaying recorded request and answer pairs of
// all three (testdata/transcripts). What it does not know it answers with
// NetBox's 404, never with a guess.
//
// Served:
//
//	GET                         /api/  /api/status/
//	list, create, bulk, single  /api/extras/custom-fields/  /api/extras/custom-field-choice-sets/
//	                            /api/extras/tags/  /api/tenancy/tenants/
//	                            /api/ipam/vrfs/  /api/ipam/roles/
//	                            /api/ipam/prefixes/  /api/ipam/ip-addresses/
//	GET, POST                   /api/ipam/prefixes/ID/available-ips/
//	list, single                /api/core/object-changes/ (4.x)  /api/extras/object-changes/ (3.7)
//
// Rows are compact immutable structs: a change makes a new row, and the change
// log keeps the old one, so a rollback and a changelog entry cost a pointer.
package netboxtest
