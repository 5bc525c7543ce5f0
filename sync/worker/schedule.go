package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Bounds of a Schedule.
const (
	// MinInterval is how far apart two ticks have to be: a slip such as a sixth
	// field too many would have NetBox read every second.
	MinInterval = 10 * time.Second

	maxSpec    = 200         // bytes of an expression
	maxNap     = time.Minute // the clock is looked at this often: it may be set, or the machine sleep
	clockShift = time.Hour   // a clock that goes back by less ticks nothing twice
	gapTicks   = 100         // ticks looked at to find the shortest gap
)

// Schedule says when to run. The zero value never ticks.
//
// An expression means local time in its zone. On the day on which the clocks go
// forward, a time that the day does not have is left out: where 02:00 to 03:00
// is missing, "30 2 * * *" does not tick, and "*/15 * * * *" goes on at 03:00,
// a quarter of an hour after 01:45. On the day on which they go back, an hour
// comes twice, and so does every tick in it: "30 2 * * *" ticks in summer time
// and an hour later again in winter time. "@every" counts time that has really
// passed, and knows no clocks.
type Schedule struct {
	spec string
	zone *time.Location
	next cron.Schedule
}

// ParseSchedule reads a cron expression: five fields (minute, hour, day of
// month, month, day of week), or six with seconds before them, or a descriptor:
// @every 15m, @hourly, @daily, @midnight, @weekly, @monthly, @yearly,
// @annually. zone is the name of an IANA time zone, "" the machine's own;
// CRON_TZ=ZONE before the expression overrides it. As in any cron, where day of
// month and day of week are both given, either will do.
//
// Errors name the field and say what could stand there.
func ParseSchedule(spec, zone string) (Schedule, error) {
	if len(spec) > maxSpec {
		return Schedule{}, fmt.Errorf("schedule: longer than %d bytes", maxSpec)
	}
	s := Schedule{spec: strings.TrimSpace(spec), zone: time.Local}
	expression, err := s.inZone(zone)
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w", s.spec, err)
	}
	if s.next, err = parseExpression(expression); err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w", s.spec, err)
	}
	if err := s.checkGaps(); err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w", s.spec, err)
	}
	return s, nil
}

// inZone settles the time zone and returns the expression without it. The
// library's own reading of the prefix panics where nothing follows it.
func (s *Schedule) inZone(zone string) (expression string, err error) {
	expression = s.spec
	for _, prefix := range []string{"CRON_TZ=", "TZ="} {
		rest, found := strings.CutPrefix(expression, prefix)
		if !found {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) < 2 || strings.TrimLeft(rest, " \t") != rest {
			return "", fmt.Errorf("want %sZONE and then an expression, such as %sEurope/Berlin 0 6 * * *", prefix, prefix)
		}
		zone, expression = fields[0], strings.Join(fields[1:], " ")
		break
	}
	if zone == "" {
		return expression, nil
	}
	if s.zone, err = time.LoadLocation(zone); err != nil {
		return "", fmt.Errorf("time zone %q is not known: want an IANA name, such as Europe/Berlin or UTC", zone)
	}
	return expression, nil
}

// field is one field of an expression.
type field struct{ name, form, example string }

func cronFields() []field {
	return []field{
		{"second", "0 to 59", "30 or */20"},
		{"minute", "0 to 59", "0 or */15 or 0,30"},
		{"hour", "0 to 23", "6 or */2 or 8-18"},
		{"day of month", "1 to 31", "* or 1 or 1-7"},
		{"month", "1 to 12 or JAN to DEC", "* or 1-6 or DEC"},
		{"day of week", "0 to 6 (0 is Sunday) or SUN to SAT", "* or MON-FRI or 1,3,5"},
	}
}

func parseExpression(s string) (cron.Schedule, error) {
	if s == "" {
		return nil, errors.New("it is empty: want an expression such as */15 * * * * or @every 15m")
	}
	if strings.HasPrefix(s, "@") {
		return parseDescriptor(s)
	}
	parser := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	texts, fields := strings.Fields(s), cronFields()
	switch len(texts) {
	case len(fields):
	case len(fields) - 1:
		texts = append([]string{"0"}, texts...)
	default:
		return nil, fmt.Errorf("it has %d fields: want 5 (minute, hour, day of month, month, day of week), such as */15 * * * *, or 6 with seconds first", len(texts))
	}
	for i, text := range texts {
		alone := strings.Fields("* * * * * *")
		alone[i] = text
		_, err := parser.Parse(strings.Join(alone, " "))
		if err != nil || !wellFormed(text) {
			f := fields[i]
			return nil, fmt.Errorf("%s %q: want %s, such as %s", f.name, text, f.form, f.example)
		}
	}
	return parser.Parse(strings.Join(texts, " "))
}

// wellFormed refuses what the library passes over in silence: an element with
// nothing in it, and a range that begins with a star.
func wellFormed(text string) bool {
	for element := range strings.SplitSeq(text, ",") {
		if element == "" || strings.HasPrefix(element, "*-") || strings.HasPrefix(element, "?-") {
			return false
		}
	}
	return true
}

func parseDescriptor(s string) (cron.Schedule, error) {
	if text, ok := strings.CutPrefix(s, "@every"); ok {
		d, err := time.ParseDuration(strings.TrimSpace(text))
		switch {
		case err != nil || strings.TrimLeft(text, " \t") == text:
			return nil, fmt.Errorf("@every wants a duration, such as @every 15m or @every 1h30m")
		case d < MinInterval:
			return nil, fmt.Errorf("want at least %s between two ticks", MinInterval)
		case d%time.Second != 0:
			return nil, fmt.Errorf("@every wants whole seconds, such as @every %s", d.Truncate(time.Second))
		}
		return cron.Every(d), nil
	}
	next, err := cron.NewParser(cron.Descriptor).Parse(s)
	if err != nil {
		return nil, errors.New("this descriptor is not known: want @every DURATION, @hourly, @daily, @weekly, @monthly or @yearly")
	}
	return next, nil
}

// checkGaps refuses what never ticks, and what ticks too often, as far as the
// first ticks of a year show.
func (s Schedule) checkGaps() error {
	last := s.Next(time.Date(2026, time.January, 1, 0, 0, 0, 0, s.zone))
	if last.IsZero() {
		return errors.New("it never ticks: no year has such a day")
	}
	for range gapTicks {
		next := s.Next(last)
		if next.IsZero() {
			return nil
		}
		if gap := next.Sub(last); gap < MinInterval {
			return fmt.Errorf("two ticks are only %s apart, want at least %s; with six fields the first one is the second", gap, MinInterval)
		}
		last = next
	}
	return nil
}

// String returns the expression as it was given.
func (s Schedule) String() string { return s.spec }

// Next returns the first tick after a time, in the zone of the schedule; the
// zero time where there is none.
func (s Schedule) Next(after time.Time) time.Time {
	if s.next == nil {
		return time.Time{}
	}
	return s.next.Next(after.In(s.zone))
}

// Serve calls tick with the time of each tick until ctx ends. Each is called
// late by a random part of jitter, so that installations do not ask NetBox all
// at once; no tick comes later than halfway to the next one. Ticks that were
// missed, because the machine slept or because tick took long, are one. A clock
// that is set is followed; one that goes back by less than an hour ticks
// nothing twice.
func (s Schedule) Serve(ctx context.Context, jitter time.Duration, tick func(time.Time)) {
	last := time.Now().Round(0)
	next := s.Next(last)
	for !next.IsZero() {
		at, back := s.await(ctx, last, next, s.delay(next, jitter))
		switch {
		case ctx.Err() != nil:
			return
		case back:
			last, next = at, s.Next(at)
			continue
		}
		tick(next)
		last = next
		next = s.Next(last)
		if now := time.Now(); !next.After(now) { // missed: these ticks were that one
			next = s.Next(now)
		}
	}
}

// delay draws how late a tick is called.
func (s Schedule) delay(tick time.Time, jitter time.Duration) time.Duration {
	if following := s.Next(tick); !following.IsZero() {
		jitter = min(jitter, following.Sub(tick)/2)
	}
	if jitter <= 0 {
		return 0
	}
	return rand.N(jitter)
}

// await waits for a tick, and until it is late by delay. It returns early once
// ctx has ended, and with back where the clock was put back so far behind last,
// the latest time that was dealt with, that the wait means nothing any more.
func (s Schedule) await(ctx context.Context, last, tick time.Time, delay time.Duration) (now time.Time, back bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return now, false
		case <-timer.C:
		}
		now = time.Now().Round(0) // without the monotonic clock, which stands still while a machine sleeps
		left := tick.Add(delay).Sub(now)
		if left <= 0 {
			return now, false
		}
		if now.Before(last.Add(-clockShift)) {
			return now, true
		}
		timer.Reset(min(left, maxNap))
	}
}
