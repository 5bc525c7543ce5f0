package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxNesting is how deep values may be nested within one line, and lists and
// mappings in flow style at all. Deeper nesting is no configuration, and the
// parser would follow it down until the stack is full.
const maxNesting = 32

// parse returns the one value of the text, nil for a text without any. Aliases
// are looked up in d.targets from then on.
func (d *decoder) parse(text []byte) (ast.Node, *Problem) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	if len(text) > maxFile {
		return nil, &Problem{File: d.file, Text: fmt.Sprintf("is larger than %d KiB, the most that is read", maxFile>>10)}
	}
	if p := d.checkText(string(text)); p != nil {
		return nil, p
	}
	file, err := d.parseYAML(string(text))
	if err != nil {
		return nil, d.syntaxProblem(err, string(text))
	}
	var root ast.Node
	for i, doc := range file.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		if i > 0 && root != nil {
			return nil, d.problemAt(start(doc.Body), "", "a second document begins here; keep everything in one, without --- between")
		}
		root = doc.Body
	}
	if root != nil {
		d.targets = map[*ast.AliasNode]ast.Node{}
		d.linkAliases(root, map[string]ast.Node{})
	}
	return root, nil
}

func (d *decoder) problemAt(pos position, key, text string) *Problem {
	return &Problem{File: d.file, Line: pos.line, Column: pos.column, Key: key, Text: text}
}

// checkText finds what the parser would report worse: bytes that are no text,
// and tabs in the indentation.
func (d *decoder) checkText(text string) *Problem {
	if n := strings.Count(text, "\n"); n > maxLines {
		return d.problemAt(position{maxLines + 1, 1}, "", fmt.Sprintf("the file has more than %d lines, the most that are read", maxLines))
	}
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		if !utf8.ValidString(line) {
			return d.problemAt(position{number, 1}, "", "this line is not UTF-8; save the file as UTF-8")
		}
		if i := strings.IndexFunc(line, func(r rune) bool { return r != ' ' && r != '\r' }); i >= 0 && line[i] == '\t' && strings.TrimSpace(line) != "" {
			return d.problemAt(position{number, i + 1}, "", "a tab in the indentation; YAML takes spaces only")
		}
		if i := strings.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' || r == 0x7f }); i >= 0 {
			return d.problemAt(position{number, utf8.RuneCountInString(line[:i]) + 1}, "", "a control character; remove it")
		}
	}
	return nil
}

// parseYAML calls the parser, which is not ours: should it panic over some
// text, that is one more way for the text to be wrong.
func (d *decoder) parseYAML(text string) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("is not YAML that can be read (%v)", r)
		}
	}()
	tokens := lexer.Tokenize(text)
	if tk := tooDeep(tokens); tk != nil {
		return nil, &yaml.SyntaxError{Message: fmt.Sprintf("nested more than %d deep", maxNesting), Token: tk}
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// tooDeep returns the token at which the nesting becomes too deep, or nil.
// Nesting by indentation needs no limit: it takes ever longer lines.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, line, inLine := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position.Line != line {
			line, inLine = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			if flow == 0 {
				inLine++
			}
		case token.CollectEntryType:
			inLine = 0
		}
		if flow > maxNesting || inLine > maxNesting {
			return tk
		}
	}
	return nil
}

// syntaxProblem makes the parser's error ours. Of what it says only the
// message is taken: the excerpt that comes with it could show a secret.
func (d *decoder) syntaxProblem(err error, text string) *Problem {
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) || syntax.Token == nil {
		return &Problem{File: d.file, Text: "is not valid YAML"}
	}
	pos := syntax.Token.Position
	message := "not valid YAML: " + syntax.Message
	lines := strings.Split(text, "\n")
	if pos.Line >= 1 && pos.Line <= len(lines) {
		switch l := lines[pos.Line-1]; {
		case strings.Contains(l, "${"):
			message += "; put ${…} in quotes where it stands between { } or [ ]"
		case strings.Contains(l, ": {"):
			message += "; put a text that begins with { in quotes"
		}
	}
	return d.problemAt(position{max(1, pos.Line), max(1, pos.Column)}, "", message)
}

// linkAliases finds what every alias stands for, in the order of the text: an
// anchor counts once its value is complete, so nothing can hold itself.
func (d *decoder) linkAliases(n ast.Node, anchors map[string]ast.Node) {
	switch n := n.(type) {
	case *ast.AnchorNode:
		d.linkAliases(n.Value, anchors)
		if n.Name != nil {
			anchors[n.Name.GetToken().Value] = n.Value
		}
	case *ast.AliasNode:
		if n.Value != nil {
			d.targets[n] = anchors[n.Value.GetToken().Value]
		}
	case *ast.TagNode:
		d.linkAliases(n.Value, anchors)
	case *ast.MappingNode:
		for _, pair := range n.Values {
			d.linkAliases(pair, anchors)
		}
	case *ast.MappingValueNode:
		d.linkAliases(n.Key, anchors)
		d.linkAliases(n.Value, anchors)
	case *ast.SequenceNode:
		for _, element := range n.Values {
			d.linkAliases(element, anchors)
		}
	}
}

// start is where a value begins.
func start(n ast.Node) position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return start(n.Values[0])
		}
	case *ast.MappingValueNode:
		if n.Key != nil {
			return start(n.Key)
		}
	}
	if n == nil || n.GetToken() == nil {
		return position{1, 1}
	}
	p := n.GetToken().Position
	return position{max(1, p.Line), max(1, p.Column)}
}
