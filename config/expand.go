package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// expand puts variables in: ${NAME} is what env says, $${ is ${ itself. What a
// variable holds is not looked at again.
func (d *decoder) expand(s string) (text string, expanded bool, err error) {
	if !strings.Contains(s, "${") {
		return s, false, nil
	}
	var b strings.Builder
	for {
		at := strings.Index(s, "${")
		if at < 0 {
			b.WriteString(s)
			return b.String(), expanded, nil
		}
		if at > 0 && s[at-1] == '$' {
			b.WriteString(s[:at-1] + "${")
			s = s[at+2:]
			continue
		}
		name, rest, closed := strings.Cut(s[at+2:], "}")
		if !closed {
			return "", false, errors.New("a ${ without a } after it; write $${ for the characters themselves")
		}
		if !variable(name) {
			return "", false, fmt.Errorf("${%s} names no variable; a name is made of letters, digits and _, and $${ stands for the characters themselves", name)
		}
		value, set := d.env(name)
		if !set {
			return "", false, fmt.Errorf("the environment variable %s is not set; set it, or write $${ for the characters themselves", name)
		}
		b.WriteString(s[:at] + value)
		s, expanded = rest, true
	}
}

// variable reports whether s can be the name of an environment variable.
func variable(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// maxSecret is the size of the largest file that is taken for a secret.
const maxSecret = 64 << 10

// secretFile sets v, a Secret or a string, to what the file named by n holds.
func (d *decoder) secretFile(n ast.Node, key string, v reflect.Value) {
	var path string
	faults := len(d.problems)
	d.value(n, key, reflect.ValueOf(&path).Elem(), constraints{required: true, path: true})
	if len(d.problems) > faults {
		return
	}
	secret, err := readSecret(path)
	if err != nil {
		d.report(start(n), key, "%v", err)
		return
	}
	if v.Type() == reflect.TypeFor[Secret]() {
		v.Set(reflect.ValueOf(NewSecret(secret)))
		return
	}
	v.SetString(secret)
}

// readSecret returns the text of a file without the line break at its end.
func readSecret(path string) (string, error) {
	name := filepath.Clean(path)
	stat, err := os.Stat(name)
	switch {
	case os.IsNotExist(err):
		return "", fmt.Errorf("there is no file %s; a path is relative to the folder of the configuration", name)
	case err != nil:
		return "", fmt.Errorf("cannot look at %s: %w", name, cause(err))
	case !stat.Mode().IsRegular(): // a pipe could keep us waiting for ever
		return "", fmt.Errorf("%s is not a regular file", name)
	case stat.Size() > maxSecret:
		return "", fmt.Errorf("%s is larger than %d KiB, so it is not a secret", name, maxSecret>>10)
	}
	f, err := os.Open(name)
	if os.IsPermission(err) {
		return "", fmt.Errorf("may not read %s; make it readable for the user that allocsync runs as", name)
	}
	if err != nil {
		return "", fmt.Errorf("cannot open %s: %w", name, cause(err))
	}
	defer func() { _ = f.Close() }() // only read from
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", name, cause(err))
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", name)
	}
	return secret, nil
}
