package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
)

// maxFile is the size of the largest file that is read, in bytes.
const maxFile = 1 << 20

// maxLines is how many lines are read. The YAML library takes time by the
// square of some counts (keys of one mapping, empty elements, documents):
// 60,000 keys took it 20 s, 20,000 take it 2.
const maxLines = 20_000

// Load reads the file at path; see Parse.
func Load(path string, env func(string) (string, bool), kinds map[string]func() any, rules any) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Problems{{File: path, Text: fmt.Sprintf("cannot be opened: %v", cause(err))}}
	}
	defer func() { _ = f.Close() }() // only read from
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, Problems{{File: path, Text: fmt.Sprintf("cannot be read: %v", cause(err))}}
	}
	return Parse(path, text, env, kinds, rules)
}

// Parse reads the text of a configuration file. Name is what messages call the
// file; relative paths in it are relative to name's folder.
//
// Env looks up what ${NAME} in a value stands for. Kinds holds, for every kind
// of source, a function that returns a pointer to a new options struct with
// its defaults; rules is a pointer to the list that the key rules is decoded
// into, or nil to leave the key undecoded. Both are decoded by their yaml tags.
//
// The error is a Problems: everything that is wrong, in the order of the text.
// Files that the configuration names are read only where they hold a secret.
func Parse(name string, text []byte, env func(string) (string, bool), kinds map[string]func() any, rules any) (*Config, error) {
	d := &decoder{
		file: name, folder: filepath.Dir(name), env: env, kinds: kinds, rules: rules,
		where: map[string]position{},
	}
	root, problem := d.parse(text)
	if problem != nil {
		return nil, Problems{*problem}
	}
	cfg := Default()
	d.source = cfg.Sources[0]
	cfg.Sources = nil
	if root == nil {
		d.report(position{1, 1}, "", "the file is empty; "+quickStart)
	} else {
		d.value(root, "", reflect.ValueOf(&cfg).Elem(), constraints{})
		d.check(&cfg)
	}
	if len(d.problems) > 0 {
		return nil, d.problems.sorted()
	}
	cfg.file, cfg.where = name, d.where
	return &cfg, nil
}

const quickStart = "it needs at least installation, netbox and sources"

// cause takes the name of the file off an error that already is about it.
func cause(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
