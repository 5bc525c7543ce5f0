// Package netbox is the only folder that knows NetBox's REST API
// (https://netboxlabs.com/docs/netbox/integrations/rest-api/). It supports
// NetBox 3.7 and later, and was measured against 3.7.8, 4.2.9 and 4.7.3.
//
// A Client holds the connection; Begin and Resolve turn the names that a
// configuration uses (VRFs, tenants, roles, tags) into a Session, which reads and
// writes rows as package ipam describes them. A Session is one pass's view and is thrown
// away with the pass; both are safe for concurrent use.
//
// Three rules hold everywhere here:
//
//   - No part without saying so: a list is complete or an error.
//   - No trust in filters: NetBox ignores a filter on a custom field it does
//     not know, so every row is compared with what was asked for.
//   - Reads are tried again, writes never: whether a write whose answer was
//     lost may be sent again is decided by sync/apply, which reads first.
package netbox
