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

// Remark writes journal entries of kind "warning", 50 in a request, and says
// which of them are dealt with. One that NetBox refuses, because its row is gone
// say, counts as such. It needs the permission to add extras.journalentry. A
// request of which nobody knows whether it was carried out is not repeated.
func (s *Session) Remark(ctx context.Context, remarks []Remark) (told []bool, err error) {
	told = make([]bool, len(remarks))
	for at := 0; at < len(remarks); {
		n := min(len(remarks)-at, maxRemarks)
		failed := s.remark(ctx, remarks[at:at+n])
		if failed != nil && failed.refused && n > 1 { // one bad row must not silence the others
			for i := at; i < at+n; i++ {
				if failed = s.remark(ctx, remarks[i:i+1]); failed != nil && !failed.refused {
					return told, failed
				}
				told[i] = true
			}
			failed = nil
		}
		if failed != nil && !failed.refused {
			return told, failed
		}
		for i := at; i < at+n; i++ {
			told[i] = true
		}
		at += n
	}
	return told, nil
}

func (s *Session) remark(ctx context.Context, remarks []Remark) *Error {
	bodies := make([]map[string]any, len(remarks))
	for i, r := range remarks {
		bodies[i] = map[string]any{
			"assigned_object_type": addressType, "assigned_object_id": r.Row,
			"kind": "warning", "comments": r.Text,
		}
	}
	a, failed := s.client.write(ctx, http.MethodPost, journalPath, bodies)
	if failed != nil {
		refuse(failed, a, s.version, len(bodies), nil)
	}
	return failed
}
