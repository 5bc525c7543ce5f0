package netbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// namedModel is a type of object that rows name, and how it is looked up. Name
// and code are the fields; looks tells a code from a name.
type namedModel struct {
	what, path string
	name, code string // name is "" where only the code counts
	looks      func(string) bool
	longest    map[string]int // characters that NetBox keeps of a field (4.7.3)
}

func vrfModel() namedModel {
	return namedModel{"VRF", "ipam/vrfs/", "name", "rd", isRD, map[string]int{"name": 100, "rd": 21}}
}

func tenantModel() namedModel {
	return namedModel{"tenant", "tenancy/tenants/", "name", "slug", isSlug, map[string]int{"name": 100, "slug": 100}}
}

// slugModel is a type of object that is named by its slug alone.
func slugModel(what, path string) namedModel {
	return namedModel{what, path, "", "slug", func(string) bool { return true }, map[string]int{"slug": 100}}
}

// isRD reports whether s looks like a route distinguisher (RFC 4364, 4.2).
func isRD(s string) bool { return strings.Contains(s, ":") }

// isSlug reports whether s may be a slug, as NetBox makes them.
func isSlug(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// fields are the fields to look ref up by, in this order. It depends on ref
// alone: what a name means must not change with the other names of a pass.
func (m namedModel) fields(ref string) []string {
	switch {
	case m.name == "":
		return []string{m.code}
	case m.looks(ref):
		return []string{m.code, m.name}
	}
	return []string{m.name, m.code}
}

// impossible says why NetBox can have nothing that is called ref; "" where it
// can. Names come from sources, which may call a project anything: such a name
// is not asked for, as NetBox would refuse the request, and all other names in
// it, or strip the name to another one.
func (m namedModel) impossible(ref string) string {
	most := max(m.longest[m.name], m.longest[m.code])
	switch {
	case !utf8.ValidString(ref):
		return "it is no valid text"
	case utf8.RuneCountInString(ref) > most:
		return fmt.Sprintf("it is longer than the %d characters that NetBox keeps", most)
	case strings.ContainsFunc(ref, unicode.IsControl):
		return "it has control characters"
	case strings.TrimSpace(ref) != ref:
		return "it has white space around it"
	}
	return ""
}

// hit is the object that a name means, and the field that says so.
type hit struct {
	named
	field string
}

// lookUp finds each of wanted by the first of its fields that knows it. Names
// that are unknown or mean several objects come back as bad, with what is wrong.
func (c *Client) lookUp(ctx context.Context, v Version, m namedModel, wanted []string) (found map[string]hit, bad map[string]string, err error) {
	found, bad = map[string]hit{}, map[string]string{}
	var codes, others []string
	for _, ref := range sortedUnique(wanted) {
		switch why := m.impossible(ref); {
		case ref == "":
		case why != "":
			bad[ref] = fmt.Sprintf("NetBox can have no %s %s: %s", m.what, quote(ref), why)
		case m.fields(ref)[0] == m.code:
			codes = append(codes, ref)
		default:
			others = append(others, ref)
		}
	}
	ask := func(field string, refs []string) (missing []string) {
		if err == nil {
			missing, err = c.ask(ctx, v, m, field, refs, found, bad)
		}
		return missing
	}
	missing := ask(m.code, codes)
	if m.name != "" {
		// Those that the code did not find and those to be asked by name first
		// share a request.
		unnamed := ask(m.name, sortedUnique(append(missing, others...)))
		missing = missing[:0]
		var uncoded []string
		for _, ref := range unnamed {
			if _, asked := slices.BinarySearch(codes, ref); asked {
				missing = append(missing, ref)
			} else {
				uncoded = append(uncoded, ref)
			}
		}
		missing = append(missing, ask(m.code, uncoded)...)
	}
	if err != nil || len(missing) == 0 {
		return found, bad, err
	}
	slices.Sort(missing)
	there, err := c.some(ctx, v, "/api/"+m.path, m.fields(missing[0]))
	if err != nil {
		return nil, nil, fmt.Errorf("list %ss: %w", m.what, err)
	}
	for _, ref := range missing {
		bad[ref] = fmt.Sprintf("NetBox has no %s %q (by %s): add it at %s/%sadd/, or name one that is there (%s)",
			m.what, ref, strings.Join(m.fields(ref), " or "), c.base, m.path, there)
	}
	return found, bad, nil
}

// ask looks refs up by one field and returns those that it does not know.
func (c *Client) ask(ctx context.Context, v Version, m namedModel, field string, refs []string, found map[string]hit, bad map[string]string) (missing []string, err error) {
	short := make([]string, 0, len(refs)) // a longer one is no value of this field
	for _, ref := range refs {
		if utf8.RuneCountInString(ref) <= m.longest[field] {
			short = append(short, ref)
		}
	}
	matches, err := c.matches(ctx, v, "/api/"+m.path, field, short)
	if err != nil {
		return nil, fmt.Errorf("look up %ss by %s: %w", m.what, field, err)
	}
	for _, ref := range refs {
		switch hits := matches[ref]; len(hits) {
		case 0:
			missing = append(missing, ref)
		case 1:
			found[ref] = hit{hits[0], field}
		default:
			bad[ref] = ambiguous(m.what, ref, hits)
		}
	}
	return missing, nil
}

// null is a value that NetBox's filters take for "has none": ?rd=null lists every
// VRF without a route distinguisher, and ?name=null none, not even one of this
// name (4.7.3).
const null = "null"

// matches lists, for each of values, the objects whose field is exactly it.
//
// What else comes back is left out, and is no sign of a filter that was ignored:
// how NetBox compares is its database's business, and a name out of a source
// must not end the pass of all. All pages are read, so that nothing is missed.
func (c *Client) matches(ctx context.Context, v Version, path, field string, values []string) (map[string][]named, error) {
	plain := slices.DeleteFunc(slices.Clone(values), func(s string) bool { return s == null })
	reserve := len("&limit=1000000&fields=id,name,slug,rd&ordering=id&id__gte=9999999999")
	queries := filters(field, plain, c.room(path)-reserve)
	if len(plain) < len(values) {
		// The only way to ask for it that works for every field.
		queries = append(queries, field+"__isw=nul&"+field+"__iew=ull")
	}
	out := map[string][]named{}
	for _, query := range queries {
		err := c.objects(ctx, v, path, query, func(object named) {
			value := object.field(field)
			if _, ours := slices.BinarySearch(values, value); ours {
				out[value] = append(out[value], object)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// objects hands every object that filter selects to keep, in the order of their
// IDs.
func (c *Client) objects(ctx context.Context, v Version, path, filter string, keep func(named)) error {
	query := filter + limitedFields(v, path, c.pageSize) + "&ordering=id"
	from := 0
	for range maxPages {
		var answer struct {
			Next    *string `json:"next"`
			Results []named `json:"results"`
		}
		page := query
		if from > 0 {
			page += fmt.Sprintf("&id__gte=%d", from)
		}
		c.stats.lookups.Add(1)
		if err := c.read(ctx, path, page, &answer); err != nil {
			return err
		}
		if answer.Results == nil {
			return fmt.Errorf("read %s: the answer is no list", path)
		}
		for _, object := range answer.Results {
			if object.ID < from {
				return fmt.Errorf("read %s: NetBox ignored the page asked for: %d came after %d", path, object.ID, from-1)
			}
			keep(object)
			from = object.ID + 1
		}
		if answer.Next == nil {
			return nil
		}
		if len(answer.Results) == 0 {
			return fmt.Errorf("read %s: an empty page names a next one", path)
		}
	}
	return fmt.Errorf("read %s: more than %d pages", path, maxPages)
}

func (n named) field(name string) string {
	switch name {
	case "slug":
		return n.Slug
	case "rd":
		return n.RD
	}
	return n.Name
}

// some names a few objects, for an error's text.
func (c *Client) some(ctx context.Context, v Version, path string, fields []string) (string, error) {
	const few = 5
	var answer struct {
		Next    *string `json:"next"`
		Results []named `json:"results"`
	}
	c.stats.lookups.Add(1)
	if err := c.read(ctx, path, strings.TrimPrefix(limitedFields(v, path, few), "&"), &answer); err != nil {
		return "", err
	}
	var texts []string
	for _, object := range answer.Results {
		text := object.field(fields[0])
		if len(fields) > 1 && object.field(fields[1]) != "" {
			text += " (" + object.field(fields[1]) + ")"
		}
		texts = append(texts, text)
	}
	switch {
	case len(texts) == 0:
		return "none", nil
	case answer.Next != nil:
		texts = append(texts, "…")
	}
	return strings.Join(texts, ", "), nil
}

func limitedFields(v Version, path string, limit int) string {
	if !v.hasFields() {
		return fmt.Sprintf("&limit=%d", limit)
	}
	fields := "id,name,slug"
	if path == "/api/ipam/vrfs/" {
		fields = "id,name,rd"
	}
	return fmt.Sprintf("&limit=%d&fields=%s", limit, fields)
}

func ambiguous(what, ref string, hits []named) string {
	slices.SortFunc(hits, func(a, b named) int { return cmp.Compare(a.ID, b.ID) })
	const few = 5
	texts := make([]string, 0, few+1)
	for i, hit := range hits {
		if i == few {
			texts = append(texts, "…")
			break
		}
		switch {
		case hit.RD != "":
			texts = append(texts, fmt.Sprintf("ID %d with rd %s", hit.ID, hit.RD))
		case hit.Slug != "":
			texts = append(texts, fmt.Sprintf("ID %d with slug %s", hit.ID, hit.Slug))
		default:
			texts = append(texts, fmt.Sprintf("ID %d without rd", hit.ID))
		}
	}
	by := "slug"
	if what == "VRF" {
		by = "rd"
	}
	return fmt.Sprintf("%s %q is ambiguous: NetBox has %s; name it by its %s", what, ref, strings.Join(texts, ", "), by)
}

// quote quotes the beginning of a name that may be of any length.
func quote(name string) string {
	const most = 60
	count := 0
	for i := range name {
		if count++; count > most {
			return strconv.Quote(name[:i] + "…")
		}
	}
	return strconv.Quote(name)
}
