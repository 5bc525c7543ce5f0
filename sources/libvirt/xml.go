package libvirt

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// maxDepth is how deep elements may nest. What libvirt writes is about ten
// deep; deeper text is broken or hostile.
const maxDepth = 64

// The causes for which text that is well-formed is refused all the same.
var (
	errDepth = fmt.Errorf("elements nest deeper than %d", maxDepth)
	errRoot  = errors.New("not the document that was asked for")
	errTail  = errors.New("something follows the end of the document")
)

// element is the start of an element. Its name is resolved: the namespace, not
// the prefix, which libvirt writes as it was when the metadata was set.
type element struct {
	space, local string
	attributes   []xml.Attr
}

// attribute returns the first attribute of that name without a prefix, "" for
// none.
func (e element) attribute(name string) string {
	for _, a := range e.attributes {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// document walks over a text once, from its start to its end. It is several
// times faster than unmarshalling, because what nobody asks for is only
// tokenized, and a domain is mostly that.
type document struct {
	decoder *xml.Decoder
	depth   int // of elements that are open
}

// walk reads a whole document. The root has to be of that name and of no
// namespace; inside is called within it. Text that ends early, that is not
// well-formed or that goes on behind the root is an error, whatever inside has
// found until then.
func walk(text, root string, inside func(d *document) error) error {
	d := &document{decoder: xml.NewDecoder(strings.NewReader(text))}
	found := false
	for {
		token, err := d.decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return syntax(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if found {
				return errTail
			}
			if t.Name.Local != root || t.Name.Space != "" {
				return fmt.Errorf("element <%s> instead of <%s>: %w", short(t.Name.Local), root, errRoot)
			}
			found, d.depth = true, 1
			if err := inside(d); err != nil {
				return err
			}
			if err := d.leave(0); err != nil {
				return err
			}
		case xml.CharData:
			if strings.TrimSpace(string(t)) != "" {
				return errTail
			}
		}
	}
	if !found {
		return fmt.Errorf("no element <%s>: %w", root, errRoot)
	}
	return nil
}

// children calls visit at the start of each element that lies directly in the
// one that is open, until that one ends. What visit does not read is skipped.
func (d *document) children(visit func(e element) error) error {
	inside := d.depth
	for {
		token, err := d.next()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if err := visit(element{t.Name.Space, t.Name.Local, t.Attr}); err != nil {
				return err
			}
			if err := d.leave(inside); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}

// text returns the text that lies directly in the element that is open, to its
// end, without the white space around it. Text in comments and in elements
// below is not part of it.
func (d *document) text() (string, error) {
	inside := d.depth
	var text string
	for {
		token, err := d.next()
		if err != nil {
			return "", err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if err := d.leave(inside); err != nil {
				return "", err
			}
		case xml.CharData:
			text += string(t)
		case xml.EndElement:
			return strings.TrimSpace(text), nil
		}
	}
}

// leave reads until only so many elements are open.
func (d *document) leave(depth int) error {
	for d.depth > depth {
		if _, err := d.next(); err != nil {
			return err
		}
	}
	return nil
}

// next reads a token and counts the elements that are open. The decoder
// returns no io.EOF while one is.
func (d *document) next() (xml.Token, error) {
	token, err := d.decoder.Token()
	if err != nil {
		return nil, syntax(err)
	}
	switch token.(type) {
	case xml.StartElement:
		if d.depth++; d.depth > maxDepth {
			return nil, errDepth
		}
	case xml.EndElement:
		d.depth--
	}
	return token, nil
}

// syntax words what the decoder says. Its text may quote the document, so it
// is cut.
func syntax(err error) error {
	return errors.New(short(err.Error()))
}

// maxQuote is how many bytes of a document a message quotes.
const maxQuote = 200

// short cuts a text of the document for a message, and puts a mark in place of
// what cannot be printed. What is an address or a MAC is left as it is.
func short(s string) string {
	if len(s) > maxQuote {
		s = strings.ToValidUTF8(s[:maxQuote], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
