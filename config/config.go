package config

import "time"

// Config is everything that the file says. Parse fills it.
type Config struct {
	Installation string `yaml:"installation" config:"required" pattern:"^[A-Za-z0-9._-]+$" want:"letters, digits, '.', '_' and '-' only" doc:"Name of this allocsync. Rows in NetBox belong to INSTALLATION/SOURCE, so two installations that write to one NetBox need different names. Has no default, and changing it later orphans every row."`
	NetBox       NetBox `yaml:"netbox" config:"required" doc:"The NetBox to keep in step."`
	Limits       Limits `yaml:"limits" doc:"What one pass may change without a person's approval. Counts for each source by itself."`

	// Sources are in the order of the file: where several claim one place and
	// none holds it, the first gets it.
	Sources []Source `yaml:"sources" config:"required" doc:"Systems that hand out addresses. Where several claim one place and none holds it, the first in the list gets it."`

	Serve Serve `yaml:"serve" doc:"For allocsync serve: when passes are made, and what is answered over HTTP."`

	// Rules is what Parse was given to decode the rules into.
	Rules any `yaml:"rules" doc:"How allocations become rows. Read in order; for each key the last rule that matches decides."`

	file  string
	where map[string]position
}

// NetBox says how to reach NetBox.
type NetBox struct {
	URL           string        `yaml:"url" config:"required" doc:"Where NetBox's pages begin: https://netbox.example.org"`
	Token         Secret        `yaml:"token" config:"required" doc:"API token."`
	CAFile        string        `yaml:"ca_file" doc:"PEM file with the certificate authorities to trust besides the system's."`
	TLSSkipVerify bool          `yaml:"tls_skip_verify" doc:"Do not check the server's certificate. For trials only."`
	Timeout       time.Duration `yaml:"timeout" min:"1s" max:"10m" doc:"Longest time that one request may take."`
	PageSize      int           `yaml:"page_size" min:"1" max:"1000" doc:"Rows asked for in one page."`
	Batch         int           `yaml:"batch" min:"1" max:"500" doc:"Rows written in one request."`
	Retries       int           `yaml:"retries" min:"0" max:"10" doc:"How often a request that failed for a passing reason is sent again."`
}

// Source is one system that hands out addresses.
type Source struct {
	Name string `yaml:"name" config:"required" pattern:"^[A-Za-z0-9._-]+$" want:"letters, digits, '.', '_' and '-' only" doc:"Unique name. It is part of the owner of the source's rows: renaming a source orphans them."`
	Kind string `yaml:"kind" config:"required" doc:"Kind of system."`

	// Options is what the kind's function returned, filled in.
	Options any `yaml:"options" doc:"Options of the kind."`

	Schedule string `yaml:"schedule" doc:"For allocsync serve: when this source is read, in place of serve.schedule."`

	Reserve bool `yaml:"reserve" doc:"Have this source hold the addresses that rows of NetBox ask it for by reserve_at. It then has to be allowed to write there, and serve.state_dir is needed."`

	Allow  Allow  `yaml:"allow" doc:"Which actions the source may take. What it may not is reported as held."`
	Gone   Gone   `yaml:"gone" doc:"What happens to a row whose user the source no longer lists."`
	Limits Limits `yaml:"limits" doc:"Overrides of the top-level limits, key by key."`
}

// Owner returns the owner of the source's rows: INSTALLATION/SOURCE.
func (s Source) Owner(installation string) string { return installation + "/" + s.Name }

// Allow says which actions a source may take.
type Allow struct {
	Create bool `yaml:"create" doc:"Make rows."`
	Update bool `yaml:"update" doc:"Change rows."`
	Delete bool `yaml:"delete" doc:"Delete rows, or mark them as gone."`
}

// The values of Gone.Action.
const (
	GoneDelete    = "delete"
	GoneDeprecate = "deprecate"
)

// Gone says what happens to a row whose user the source no longer lists.
type Gone struct {
	Action string        `yaml:"action" enum:"delete|deprecate" doc:"delete: at once. deprecate: status deprecated first, deleted after a time."`
	After  time.Duration `yaml:"after" min:"0s" doc:"With deprecate: how long the row stays."`
}

// Limits is how much of a source's rows one pass may update and delete.
type Limits struct {
	Share    float64 `yaml:"share" min:"0" max:"1" doc:"Share of the source's rows."`
	FromRows int     `yaml:"from_rows" min:"0" doc:"The share counts from this many rows up."`
	Count    int     `yaml:"count" min:"0" doc:"Rows, for a source with fewer than from_rows."`
}

// Default holds every default. Its one source is what every source of a file
// starts from; its limits, those of the file where it has some, are the
// source's.
func Default() Config {
	limits := Limits{Share: 0.3, FromRows: 10, Count: 3}
	return Config{
		NetBox: NetBox{Timeout: time.Minute, PageSize: 1000, Batch: 50, Retries: 4},
		Limits: limits,
		Serve: Serve{
			Schedule: "*/15 * * * *", Jitter: 10 * time.Second, Settle: 500 * time.Millisecond, Watch: true,
			Listen: "127.0.0.1:8720", Grace: 30 * time.Second,
		},
		Sources: []Source{{
			Allow:  Allow{Create: true, Update: true, Delete: true},
			Gone:   Gone{Action: GoneDelete, After: 72 * time.Hour},
			Limits: limits,
		}},
	}
}
