package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
)

// fact is an allocation and where it comes from.
type fact struct {
	source string
	ipam.Allocation
}

// holder is a placeholder and where its text comes from.
type holder struct {
	name string
	text func(*fact) string
}

func holders() []holder {
	return []holder{
		{"source", func(f *fact) string { return f.source }},
		{"type", func(f *fact) string { return f.Type }},
		{"project", func(f *fact) string { return f.Project }},
		{"network", func(f *fact) string { return f.Network }},
		{"name", func(f *fact) string { return f.Name }},
		{"address", addressText},
		{"mac", func(f *fact) string { return string(f.MAC) }},
		{"used_by", func(f *fact) string { return string(f.UsedBy) }},
	}
}

// addressText writes an address without its length, whose last word is only
// spoken later, and a prefix with it.
func addressText(f *fact) string {
	if f.Kind == ipam.Address {
		return f.Prefix.Addr().String()
	}
	return f.Prefix.String()
}

// template is text with placeholders. Without any it is the constant alone,
// so that filling it costs nothing.
type template struct {
	source   string // as the rule writes it
	constant string
	parts    []part // nil for a constant
}

// part is a piece of text or, with text nil, what a placeholder stands for.
type part struct {
	literal string
	text    func(*fact) string
}

// parseTemplate reads text in which {name} is a placeholder, {{ a brace and }}
// the other one.
func parseTemplate(s string) (template, error) {
	t := template{source: s}
	var literal strings.Builder
	for rest := s; rest != ""; {
		at := strings.IndexAny(rest, "{}")
		if at < 0 {
			literal.WriteString(rest)
			break
		}
		literal.WriteString(rest[:at])
		brace := rest[at : at+1]
		rest = rest[at+1:]
		if strings.HasPrefix(rest, brace) {
			literal.WriteString(brace)
			rest = rest[1:]
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if brace == "}" {
			return template{}, errors.New("a } without a { before it; write }} for the character itself")
		}
		if !closed {
			return template{}, errors.New("a { without a } after it; write {{ for the character itself")
		}
		text, err := placeholder(name)
		if err != nil {
			return template{}, err
		}
		if literal.Len() > 0 {
			t.parts = append(t.parts, part{literal: literal.String()})
			literal.Reset()
		}
		t.parts = append(t.parts, part{text: text})
		rest = after
	}
	if t.parts == nil {
		t.constant = literal.String()
		return t, nil
	}
	if literal.Len() > 0 {
		t.parts = append(t.parts, part{literal: literal.String()})
	}
	return t, nil
}

func placeholder(name string) (func(*fact) string, error) {
	known := holders()
	if i := slices.IndexFunc(known, func(h holder) bool { return h.name == name }); i >= 0 {
		return known[i].text, nil
	}
	names := Placeholders()
	hint := "valid are {" + strings.Join(names, "} {") + "}"
	if near := nearest(name, names); near != "" {
		hint = "did you mean {" + near + "}? " + hint
	}
	return nil, fmt.Errorf("unknown placeholder {%s}; %s", name, hint)
}

// fill returns the text for an allocation, and whether a placeholder in it
// came out empty.
func (t *template) fill(f *fact) (text string, gap bool) {
	if t.parts == nil {
		return t.constant, false
	}
	if len(t.parts) == 1 { // nothing to put together
		text = t.parts[0].text(f)
		return text, text == ""
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.text == nil {
			b.WriteString(p.literal)
			continue
		}
		s := p.text(f)
		gap = gap || s == ""
		b.WriteString(s)
	}
	return b.String(), gap
}
