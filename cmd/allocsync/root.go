package main

import (
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// program is what every command shares: where to read and write, and nothing
// that changes.
type program struct {
	env            func(string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer
	configPath     string // of --config
}

// defaultConfig is where the configuration is looked for when nobody says
// where it is.
const defaultConfig = "allocsync.yaml"

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "allocsync",
		Short: "Keep NetBox in step with the addresses that virtualization systems hand out",
		Long: `allocsync reads the addresses that LXD, Incus, libvirt and MAAS hand out, compares
them with NetBox by the URI of who uses them, and creates, updates and deletes
what differs; and it has them hold the addresses that people reserve, in NetBox
or with allocsync reserve. It touches only rows that are its own, it never acts
on half an answer, and it says what it will do before it does it.

Start with:  allocsync demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	path := defaultConfig
	if v, ok := p.env("ALLOCSYNC_CONFIG"); ok && v != "" {
		path = v
	}
	root.PersistentFlags().StringVarP(&p.configPath, "config", "c", path, "configuration file (or ALLOCSYNC_CONFIG)")
	root.AddCommand(
		p.demoCommand(),
		p.checkCommand(),
		p.setupCommand(),
		p.syncCommand(),
		p.serveCommand(),
		p.allocationsCommand(),
		p.reserveCommand(),
		p.releaseCommand(),
		p.reservationsCommand(),
		p.configCommand(),
		p.versionCommand(),
	)
	return root
}

// programVersion is what the build says, else what the Go toolchain recorded.
func programVersion() string {
	if version != "" {
		return version
	}
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" && build.Main.Version != "(devel)" {
		return build.Main.Version
	}
	return "development"
}
