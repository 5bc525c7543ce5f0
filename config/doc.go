// Package config reads the one YAML file that tells allocsync what to do.
//
// It is strict: an unknown key, a value out of range or a variable that is not
// set is an error, and every error of the file is reported at once, each with
// its line, its column and what to write instead.
//
// # Tags
//
// What the file may hold is what the structs say, here and in the options of
// the sources; the decoder and Schema both go by these tags:
//
//	tag               | meaning
//	------------------|------------------------------------------------------
//	yaml:"key"        | name of the key; "-" is no key, ",inline" spreads a struct
//	doc:"text"        | description, for the schema
//	config:"required" | the key must be there and not be empty
//	config:"secret"   | a string that may also come from a file, under KEY_file
//	                  |   (a Secret always may)
//	config:"path"     | a string that is a path, relative to the file's folder;
//	                  |   so is any string whose key ends in _file, _dir or _folder
//	enum:"a|b"        | the values allowed
//	pattern:"^…$"     | regular expression that a string has to match
//	want:"letters"    | the pattern in words, for messages
//	min:"1" max:"10"  | range of a number or a duration
//
// Fields may be strings, bools, numbers, time.Duration, encoding.TextUnmarshaler
// (netip.Prefix, say), structs, pointers to these, maps by string, and lists.
// Where a list of strings is wanted, one string will do.
package config
