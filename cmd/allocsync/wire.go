package main

import (
	"fmt"

	"allocsync/config"
	"allocsync/mapping"
	"allocsync/netbox"
	"allocsync/sources"
	"allocsync/sources/all"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
	"allocsync/sync/reserve"
	"allocsync/sync/worker"
)

// setting is what the configuration file makes of the program.
type setting struct {
	config  *config.Config
	client  *netbox.Client
	mapping *mapping.Mapping
	sources []worker.Source
	ledger  reserve.Ledger // nil where no state folder is open
}

// load reads the configuration and wires everything that it names. It opens no
// connection.
func (p *program) load(path string, onRetry func(netbox.Retry)) (*setting, error) {
	var rules []mapping.Rule
	c, err := config.Load(path, p.env, kinds(), &rules)
	if err != nil {
		return nil, err
	}
	return wire(c, rules, onRetry)
}

func wire(c *config.Config, rules []mapping.Rule, onRetry func(netbox.Retry)) (*setting, error) {
	s := &setting{config: c}
	var err error
	if s.mapping, err = compile(c, rules); err != nil {
		return nil, err
	}
	retries := c.NetBox.Retries
	if retries == 0 {
		retries = -1 // none, where 0 means the default
	}
	s.client, err = netbox.Open(netbox.Options{
		URL:           c.NetBox.URL,
		Token:         netbox.Token(c.NetBox.Token.Reveal()),
		CAFile:        c.NetBox.CAFile,
		TLSSkipVerify: c.NetBox.TLSSkipVerify,
		Timeout:       c.NetBox.Timeout,
		PageSize:      c.NetBox.PageSize,
		Retries:       retries,
		UserAgent:     "allocsync/" + programVersion(),
		OnRetry:       onRetry,
	})
	if err != nil {
		return nil, c.Problem("netbox", err.Error())
	}
	for i, source := range c.Sources {
		opened, err := open(source)
		if err != nil {
			return nil, c.Problem(fmt.Sprintf("sources[%d].options", i), err.Error())
		}
		if _, can := opened.(sources.Reserver); source.Reserve && !can {
			return nil, c.Problem(fmt.Sprintf("sources[%d].reserve", i), "systems of kind "+source.Kind+" hold no reservations; take the key away")
		}
		s.sources = append(s.sources, worker.Source{
			Name:   source.Name,
			Owner:  source.Owner(c.Installation),
			Source: opened,
			Allow:  plan.Allow{Create: source.Allow.Create, Update: source.Allow.Update, Delete: source.Allow.Delete},
			Gone:   plan.Gone{Deprecate: source.Gone.Action == config.GoneDeprecate, After: source.Gone.After},

			Reserve: source.Reserve,
		})
	}
	return s, nil
}

// compile checks the rules, and says where in the file a wrong one stands.
func compile(c *config.Config, rules []mapping.Rule) (*mapping.Mapping, error) {
	compiled, err := mapping.Compile(rules)
	if err == nil {
		err = compiled.CheckSources(names(c))
	}
	if faults, ok := err.(mapping.Faults); ok {
		var problems config.Problems
		for _, f := range faults {
			problems = append(problems, c.Problem(f.Path(), f.Text))
		}
		return nil, problems
	}
	return compiled, err
}

// open makes the source of one entry of the configuration.
func open(s config.Source) (sources.Source, error) {
	for _, f := range all.Factories() {
		if f.Kind == s.Kind {
			return f.Open(s.Options)
		}
	}
	return nil, fmt.Errorf("kind %q is not known", s.Kind)
}

// kinds is what the configuration has to know of the kinds of source.
func kinds() map[string]func() any {
	m := map[string]func() any{}
	for _, f := range all.Factories() {
		m[f.Kind] = f.Options
	}
	return m
}

func (s *setting) limits() plan.Limits {
	of := func(l config.Limits) plan.Limit {
		return plan.Limit{Share: l.Share, FromRows: l.FromRows, Count: l.Count}
	}
	limits := plan.Limits{Default: of(s.config.Limits), Owners: map[string]plan.Limit{}}
	for i, source := range s.config.Sources {
		limits.Owners[s.sources[i].Owner] = of(source.Limits)
	}
	return limits
}

// pass makes the pass that says on progress what it does; nil for a silent one.
func (s *setting) pass(only []string, progress *progress) *worker.Pass {
	pass := &worker.Pass{
		NetBox:  s.client,
		Mapping: s.mapping,
		Sources: s.sources,
		Only:    only,
		Limits:  s.limits(),
		Apply:   apply.Options{Batch: s.config.NetBox.Batch},
		Ledger:  s.ledger,
	}
	if progress != nil {
		pass.Phase, pass.Reserved = progress.phase, progress.reservation
		pass.Apply.Progress, pass.Apply.Log = progress.batch, progress.outcome
	}
	return pass
}

// names lists the sources in the order of the configuration.
func names(c *config.Config) []string {
	list := make([]string, len(c.Sources))
	for i, s := range c.Sources {
		list[i] = s.Name
	}
	return list
}
