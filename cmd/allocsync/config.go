package main

import (
	"github.com/spf13/cobra"

	"allocsync/config"
	"allocsync/mapping"
)

func (p *program) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "About the configuration file",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var rules []mapping.Rule
			_, err := p.stdout.Write(config.Schema(kinds(), &rules))
			return err
		},
	})
	return cmd
}
