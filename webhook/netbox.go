package webhook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// change is what NetBox's hook says of one row. The versions differ: before 4
// the type is in model, without its app; some have username and request_id
// beside request, or in its place.
type change struct {
	head
	rows
}

type head struct {
	Event      text `json:"event"` // created, updated, deleted; NetBox has others for jobs
	Timestamp  text `json:"timestamp"`
	ObjectType text `json:"object_type"` // ipam.ipaddress
	Model      text `json:"model"`       // ipaddress
	Username   text `json:"username"`
	RequestID  text `json:"request_id"`
	Request    struct {
		ID   text `json:"id"`
		User text `json:"user"`
	} `json:"request"`
}

// rows are the states of the row: as it is now, or was last, and around the
// change. Any of them may be missing.
type rows struct {
	Data      *row `json:"data"`
	Snapshots struct {
		Before *row `json:"prechange"`
		After  *row `json:"postchange"`
	} `json:"snapshots"`
}

// row is a prefix or an address: in data with objects for what it points to,
// in snapshots with their IDs.
type row struct {
	ID      json.RawMessage `json:"id"`
	Address text            `json:"address"`
	Prefix  text            `json:"prefix"`
	VRF     json.RawMessage `json:"vrf"`
	Role    json.RawMessage `json:"role"`
	Custom  struct {
		SyncOwner text `json:"sync_owner"`
		ReserveAt text `json:"reserve_at"`
	} `json:"custom_fields"`
}

// text is a string of somebody else's JSON. What is no string, also null,
// counts as empty: a custom field may be of any type.
type text string

// UnmarshalJSON never fails.
func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err == nil {
			*t = text(s)
		}
	}
	return nil
}

// The types of row that passes deal with.
const (
	typeAddress = "ipam.ipaddress"
	typePrefix  = "ipam.prefix"
)

var (
	errNotNetBox   = errors.New("the body is not what NetBox sends; leave the body template of the webhook empty")
	errNoTimestamp = errors.New("the body has no timestamp; leave the body template of the webhook empty")
)

// parseChange reads NetBox's body and the time at which NetBox made it.
func parseChange(body []byte) (change, time.Time, error) {
	var c change
	if err := json.Unmarshal(body, &c.head); err != nil || c.Event == "" || c.ObjectType == "" && c.Model == "" {
		return change{}, time.Time{}, errNotNetBox
	}
	if c.ObjectType == "" && !strings.Contains(string(c.Model), ".") {
		c.ObjectType = "ipam." + c.Model
	}
	c.ObjectType = cmp.Or(c.ObjectType, c.Model)
	if c.relevant() { // what other types have in data is theirs
		if err := json.Unmarshal(body, &c.rows); err != nil {
			return change{}, time.Time{}, errNotNetBox
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00"} {
		if at, err := time.Parse(layout, string(c.Timestamp)); err == nil {
			return c, at, nil
		}
	}
	return change{}, time.Time{}, errNoTimestamp
}

// relevant reports whether the row is of a type that passes deal with.
func (c change) relevant() bool { return c.ObjectType == typeAddress || c.ObjectType == typePrefix }

// concern is which sources a change is of interest to.
type concern struct {
	sources []string // in configuration order; nil with all
	all     bool
	reason  string // why all, or why none
}

// concerns finds the sources that the row names, or named before: its owner,
// and where it is to be reserved. A row that names none of ours is never
// written. It matters in one way: it may have made room, for a row that was
// held because of it. Whose that is nobody can tell from the row, so that asks
// for all sources; but only where room was made, since people and other
// programs work on such rows all day.
func (c change) concerns(installation string, sources []string) concern {
	if !c.relevant() {
		return concern{reason: "only addresses and prefixes are of interest"}
	}
	named := map[string]bool{}
	for _, r := range []*row{c.Data, c.Snapshots.Before, c.Snapshots.After} {
		if r == nil {
			continue
		}
		for _, owner := range []text{r.Custom.SyncOwner, r.Custom.ReserveAt} {
			if at, name, ok := strings.Cut(string(owner), "/"); ok && at == installation {
				named[name] = true
			}
		}
	}
	var list []string
	for _, s := range sources {
		if named[s] {
			list = append(list, s)
		}
	}
	switch {
	case len(list) > 0:
		return concern{sources: list}
	case c.madeRoom():
		return concern{all: true, reason: "the row is of no source here; whichever waits for its place may have it now"}
	default:
		return concern{reason: "the row is of no source here and made no room"}
	}
}

// madeRoom reports whether after the change a row of somebody else may be at
// the place of the row, where it could not before.
func (c change) madeRoom() bool {
	before, after := c.Snapshots.Before, c.Snapshots.After
	switch {
	case c.Event == "created":
		return false
	case c.Event != "updated" || before == nil || after == nil:
		return true
	}
	return before.Address != after.Address || before.Prefix != after.Prefix ||
		!bytes.Equal(before.VRF, after.VRF) ||
		!bytes.Equal(before.Role, after.Role) || // an address may be there twice with some roles
		before.Custom.SyncOwner != after.Custom.SyncOwner // an owner that is not configured is held otherwise than none
}

// call makes what the program is told of the change.
func (c change) call(of concern) Call {
	user := clean(string(cmp.Or(c.Request.User, c.Username)))
	what := "ip address"
	if c.ObjectType == typePrefix {
		what = "prefix"
	}
	detail := what
	if c.Data != nil {
		if place := clean(string(cmp.Or(c.Data.Address, c.Data.Prefix))); place != "" {
			detail += " " + place
		}
		if id := string(c.Data.ID); id != "" && strings.Trim(id, "0123456789") == "" {
			detail += " (#" + clean(id) + ")"
		}
	}
	detail = fmt.Sprintf("%s %s by %s", detail, clean(string(c.Event)), cmp.Or(user, "NetBox"))
	if of.all {
		detail += "; " + of.reason
	}
	return Call{
		Kind:      KindNetBox,
		Sources:   slices.Clone(of.sources),
		Detail:    detail,
		RequestID: clean(string(cmp.Or(c.Request.ID, c.RequestID))),
		User:      user,
	}
}

// maxText is how much of a text of somebody else's is shown, in runes.
const maxText = 150

// clean makes one short line of a text of somebody else's.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s[:min(len(s), 4*maxText)])
	if runes := []rune(s); len(runes) > maxText {
		s = string(runes[:maxText-1]) + "…"
	}
	return strings.TrimSpace(s)
}
