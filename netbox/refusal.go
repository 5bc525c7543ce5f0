package netbox

import (
	"encoding/json"
	"net/http"
)

// refuse completes the error of a bulk write of n rows by what the answer says
// about them. ids are the rows' IDs where the write named them, else nil.
//
// The forms, by version:
//
//	before 4.7  create  400 list as long as the batch, {} for the rows that were good
//	            create  500 {"exception": "KeyError"} for a malformed address
//	            update  400 messages by field, no word which row
//	4.7         all     400, 403, 409 {"detail", "errors": [{"index" or "id", "errors"}]}
func refuse(e *Error, a answer, v Version, n int, ids []int) {
	switch a.status {
	case http.StatusBadRequest, http.StatusConflict:
		if !isJSONObjectOrList(a.body) {
			return
		}
	case http.StatusForbidden:
		// 4.7 refuses a row that the permission's constraint leaves out with a
		// list; without one, the token may not write here at all.
		if rows, listed := refusedRows(a.body, n, ids); listed && len(rows) > 0 {
			e.Err, e.refused, e.rows = nil, true, rows
		}
		return
	case http.StatusRequestEntityTooLarge: // a proxy's limit: half of it may pass
		e.refused, e.rows = true, onlyRow(n, e.Message)
		return
	case http.StatusInternalServerError:
		if v.namesRows() || !isKeyError(a.body) {
			return
		}
		e.refused, e.unsure, e.rows = true, false, onlyRow(n, "NetBox could not read a value of this row (500 KeyError), most likely its address")
		return
	default:
		return
	}
	rows, _ := refusedRows(a.body, n, ids)
	if len(rows) == 0 {
		rows = onlyRow(n, e.Message)
	}
	e.refused, e.rows = true, rows
}

// onlyRow blames the only row of a batch of one; in a longer one it could be
// any.
func onlyRow(n int, message string) map[int]string {
	if n == 1 {
		return map[int]string{0: message}
	}
	return nil
}

// refusedRows reads which rows an error body names. Every index is within the
// batch. listed is false where the body has no list of errors.
func refusedRows(body []byte, n int, ids []int) (rows map[int]string, listed bool) {
	rows = map[int]string{}
	var aligned []json.RawMessage
	if json.Unmarshal(body, &aligned) == nil && aligned != nil {
		if len(aligned) != n {
			return nil, false
		}
		for i, text := range aligned {
			if message := words(text); message != "" {
				rows[i] = shorten(message)
			}
		}
		return rows, true
	}
	var named struct {
		Errors []struct {
			Index  *int            `json:"index"`
			ID     *int            `json:"id"`
			Errors json.RawMessage `json:"errors"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &named) != nil || named.Errors == nil {
		return nil, false
	}
	at := make(map[int]int, len(ids))
	for i, id := range ids {
		at[id] = i
	}
	for _, wrong := range named.Errors {
		i := -1
		switch {
		case wrong.Index != nil:
			i = *wrong.Index
		case wrong.ID != nil:
			if found, ok := at[*wrong.ID]; ok {
				i = found
			}
		}
		if i < 0 || i >= n {
			continue
		}
		message := shorten(words(wrong.Errors))
		if message == "" {
			message = "refused without a reason"
		}
		rows[i] = message
	}
	return rows, true
}

func isKeyError(body []byte) bool {
	var v struct {
		Exception string `json:"exception"`
	}
	return json.Unmarshal(body, &v) == nil && v.Exception == "KeyError"
}

func isJSONObjectOrList(body []byte) bool {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return false
	}
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}
