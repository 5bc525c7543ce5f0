// Command containercheck reads the project's container files with the libraries that Docker itself reads
// them with, since a machine for tests seldom has a container engine:
//
//	containercheck dockerfile FILE  parses and lints; prints the instructions, one on a line, fields
//	                                separated by tabs, for testbed/container-steps
//	containercheck compose FILE     loads and validates; prints one line for each service
//	containercheck context DIR      prints the files that .dockerignore lets through, each ended by NUL
//	containercheck static FILE      fails unless the program needs no loader and no library
package main

import (
	"bufio"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

func main() {
	commands := map[string]func(string) error{"dockerfile": dockerfile, "compose": compose, "context": buildContext, "static": static}
	if len(os.Args) != 3 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: containercheck dockerfile|compose|context|static PATH")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[2], err)
		os.Exit(1)
	}
}

func dockerfile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	parsed, err := parser.Parse(f)
	if err != nil {
		return err
	}
	var problems []error
	for _, w := range parsed.Warnings {
		problems = append(problems, errors.New(w.Short))
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) {
		problems = append(problems, fmt.Errorf("%s: %s", rule, message))
	}})
	stages, _, err := instructions.Parse(parsed.AST, lint)
	if err != nil {
		return err
	}
	for _, stage := range stages {
		emit("FROM", stage.BaseName, stage.Name)
		for _, command := range stage.Commands {
			if err := step(command); err != nil {
				problems = append(problems, err)
			}
		}
	}
	return errors.Join(problems...)
}

// step prints an instruction, and refuses one that testbed/container-steps would not know how to do.
func step(command instructions.Command) error {
	switch c := command.(type) {
	case *instructions.ArgCommand:
		for _, arg := range c.Args {
			emit("ARG", arg.Key, arg.ValueString())
		}
	case *instructions.RunCommand:
		if len(c.Files) > 0 || !c.PrependShell || len(c.FlagsUsed) > 0 {
			return fmt.Errorf("RUN with a document, a list or options is not known to container-steps: %s", c)
		}
		emit("RUN", strings.Join(c.CmdLine, " "))
	case *instructions.CopyCommand:
		if len(c.SourceContents) > 0 || c.Chmod != "" || c.Parents || len(c.ExcludePatterns) > 0 {
			return fmt.Errorf("COPY with these options is not known to container-steps: %s", c)
		}
		emit(append([]string{"COPY", or(c.From, "-"), or(c.Chown, "-"), c.DestPath}, c.SourcePaths...)...)
	case *instructions.WorkdirCommand:
		emit("WORKDIR", c.Path)
	case *instructions.UserCommand:
		emit("USER", c.User)
	case *instructions.VolumeCommand:
		emit(append([]string{"VOLUME"}, c.Volumes...)...)
	case *instructions.EntrypointCommand:
		if c.PrependShell {
			return errors.New("ENTRYPOINT must be a list: the image has no shell")
		}
		emit(append([]string{"ENTRYPOINT"}, c.CmdLine...)...)
	case *instructions.LabelCommand:
	default:
		return fmt.Errorf("%s is not known to container-steps", command.Name())
	}
	return nil
}

func emit(fields ...string) { fmt.Println(strings.Join(fields, "\t")) }

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

func compose(path string) error {
	// No environment: the file must not depend on what happens to be set where it is checked.
	options, err := cli.NewProjectOptions([]string{path}, cli.WithEnv(nil))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	var problems []error
	for name, service := range project.Services {
		problems = append(problems, checkService(name, service))
		fmt.Printf("service %s: image %s, command %q\n", name, service.Image, []string(service.Command))
	}
	return errors.Join(problems...)
}

// checkService finds what Compose would only find, or not even then, when it starts the service.
func checkService(name string, service types.ServiceConfig) error {
	var problems []error
	if service.Build == nil && (!strings.Contains(service.Image, ":") || strings.HasSuffix(service.Image, ":latest")) {
		problems = append(problems, fmt.Errorf("service %s: image %q is not pinned to a version", name, service.Image))
	}
	if service.HealthCheck == nil && service.Restart != "no" {
		problems = append(problems, fmt.Errorf("service %s: no healthcheck", name))
	}
	for _, volume := range service.Volumes {
		if volume.Type != types.VolumeTypeBind {
			continue
		}
		if _, err := os.Stat(volume.Source); err != nil {
			problems = append(problems, fmt.Errorf("service %s: mounts %w", name, err))
		}
	}
	return errors.Join(problems...)
}

func buildContext(dir string) error {
	f, err := os.Open(filepath.Join(dir, ".dockerignore"))
	if err != nil {
		return err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return err
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "." {
			return err
		}
		ignored, err := matcher.MatchesOrParentMatches(name)
		if err != nil {
			return err
		}
		if ignored && entry.IsDir() && !slices.ContainsFunc(patterns, func(p string) bool { return strings.HasPrefix(p, "!") }) {
			return fs.SkipDir
		}
		if ignored || entry.IsDir() {
			return nil
		}
		_, err = out.WriteString(name + "\x00")
		return err
	})
}

func static(path string) error {
	program, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("needs a dynamic loader")
		}
	}
	if libraries, err := program.ImportedLibraries(); err != nil || len(libraries) > 0 {
		return fmt.Errorf("needs libraries: %v, %w", libraries, err)
	}
	return nil
}
