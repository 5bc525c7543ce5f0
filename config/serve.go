package config

import "time"

// Serve says when `allocsync serve` runs passes, and what it answers over HTTP.
type Serve struct {
	Schedule string        `yaml:"schedule" doc:"When every source without a schedule of its own is read: a cron expression of five fields (minute, hour, day, month, weekday), or six with seconds first, or @hourly, @every 10m. Empty means never, but for hooks and events."`
	TimeZone string        `yaml:"time_zone" doc:"Time zone of the schedules, as Europe/Berlin. Empty means that of the machine."`
	Jitter   time.Duration `yaml:"jitter" min:"0s" max:"1h" doc:"Each scheduled pass begins up to so much later, by chance, so that installations do not all ask at once."`
	Settle   time.Duration `yaml:"settle" min:"0s" max:"1m" doc:"After a hook or an event, how long it has to be quiet before the pass begins, at most four times as long."`
	Watch    bool          `yaml:"watch" doc:"Have the sources that can do so tell at once when something changes."`

	Listen        string `yaml:"listen" doc:"HOST:PORT for hooks, page, health and metrics. Empty means none of them."`
	MetricsListen string `yaml:"metrics_listen" doc:"HOST:PORT for metrics and health alone. Empty means that they are answered where the rest is."`
	TLSCertFile   string `yaml:"tls_cert_file" doc:"PEM file of the certificate to answer https with. Read anew when it changes."`
	TLSKeyFile    string `yaml:"tls_key_file" doc:"PEM file of the certificate's private key."`

	NetBoxSecret Secret `yaml:"netbox_secret" doc:"Secret of the webhook in NetBox that posts to /hooks/netbox. Without it that hook is closed."`
	ResyncToken  Secret `yaml:"resync_token" doc:"Bearer token for /hooks/resync."`
	ResyncSecret Secret `yaml:"resync_secret" doc:"Secret with which senders to /hooks/resync sign their bodies. Without token and secret that hook is closed."`
	PageToken    Secret `yaml:"page_token" doc:"Password for the page. Without it, whoever reaches it may read it."`
	APIToken     Secret `yaml:"api_token" doc:"Bearer token for /v1/reservations. Without it that is closed."`
	ApproveToken Secret `yaml:"approve_token" doc:"With it, plans over the limits can be approved on the page. Without it they cannot."`

	StateDir string        `yaml:"state_dir" doc:"Folder for the history of passes, and for what was reserved at the sources. Empty means that history is lost when the program ends, and that nothing can be reserved."`
	Grace    time.Duration `yaml:"grace" min:"1s" max:"10m" doc:"How long a pass that is under way may take to end its batch when the program is told to stop."`
}

// minSecret is how many characters a secret has at least: of random letters
// and digits, so many cannot be guessed over a network.
const minSecret = 16

// checkServe finds what is wrong between the keys of serve.
func (d *decoder) checkServe(s Serve) {
	if (s.TLSCertFile == "") != (s.TLSKeyFile == "") {
		d.complain("serve.tls_cert_file", "and tls_key_file belong together; set both or none")
	}
	if s.Listen == "" && s.MetricsListen == "" && s.TLSCertFile != "" {
		d.complain("serve.tls_cert_file", "has no use without listen")
	}
	secrets := []struct {
		key    string
		secret Secret
	}{
		{"netbox_secret", s.NetBoxSecret}, {"resync_token", s.ResyncToken}, {"resync_secret", s.ResyncSecret},
		{"page_token", s.PageToken}, {"api_token", s.APIToken}, {"approve_token", s.ApproveToken},
	}
	for i, one := range secrets {
		text := one.secret.Reveal()
		if text == "" {
			continue
		}
		if len(text) < minSecret {
			d.complain("serve."+one.key, "is shorter than %d characters; openssl rand -hex 32 makes a good one", minSecret)
		}
		for _, other := range secrets[:i] {
			if other.secret.Reveal() == text {
				d.complain("serve."+one.key, "is the same as %s; give each its own", other.key)
			}
		}
	}
}
