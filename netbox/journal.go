package netbox

import (
	"context"
	"net/http"
)

// Remark is an entry for the journal of an address: what people see beside the
// row, and which allocsync never changes or takes away again.
type Remark struct {
	Row  int    // ID of the address
	Text string // Markdown
}

const (
	journalPath = "/api/extras/journal-entries/"

	// maxRemarks bounds one request. There are as many as there are
	// reservations that cannot be met and were not yesterday.
	maxRemarks = 50
)

// Remark writes journal entries of kind "warning", 50 in a request, and returns
// how many of them were written. It needs the permission to add
// extras.journalentry. A request of which nobody knows whether it was carried
// out is not repeated.
func (s *Session) Remark(ctx context.Context, remarks []Remark) (written int, err error) {
	for len(remarks) > 0 {
		n := min(len(remarks), maxRemarks)
		bodies := make([]map[string]any, n)
		for i, r := range remarks[:n] {
			bodies[i] = map[string]any{
				"assigned_object_type": addressType, "assigned_object_id": r.Row,
				"kind": "warning", "comments": r.Text,
			}
		}
		if _, failed := s.client.write(ctx, http.MethodPost, journalPath, bodies); failed != nil {
			return written, failed
		}
		written += n
		remarks = remarks[n:]
	}
	return written, nil
}
