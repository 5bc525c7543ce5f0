package main

import (
	"github.com/spf13/cobra"
)

// completeSources lets the shell complete --source by the configuration.
func (p *program) completeSources(cmd *cobra.Command) {
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		s, err := p.load(p.configPath, nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(s.config), cobra.ShellCompDirectiveNoFileComp
	}
	// The error is that the flag does not exist: then there is nothing to complete.
	_ = cmd.RegisterFlagCompletionFunc("source", complete)
}
