package worker_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // the zones, where the machine has none

	"github.com/stretchr/testify/require"

	"allocsync/sync/worker"
)

func mustSchedule(tb testing.TB, spec, zone string) worker.Schedule {
	tb.Helper()
	s, err := worker.ParseSchedule(spec, zone)
	require.NoError(tb, err)
	return s
}

// day lists the ticks of the day of a time, as clocks show them.
func day(s worker.Schedule, at time.Time) []string {
	end := at.AddDate(0, 0, 1)
	var list []string
	for next := s.Next(at.Add(-time.Nanosecond)); next.Before(end); next = s.Next(next) {
		list = append(list, next.Format("15:04:05 MST"))
	}
	return list
}

func berlin(tb testing.TB) *time.Location {
	tb.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	require.NoError(tb, err)
	return zone
}

func TestSchedules(t *testing.T) {
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, berlin(t)) // a Monday
	for spec, want := range map[string]string{
		"0 6 * * *":                       "06:00:00 CEST",
		"30 0 6 * * *":                    "06:00:30 CEST",
		"  0   6,18 * * MON-FRI ":         "06:00:00 CEST 18:00:00 CEST",
		"0 6 * * SAT":                     "",
		"0 */8 1 jun ?":                   "00:00:00 CEST 08:00:00 CEST 16:00:00 CEST",
		"@daily":                          "00:00:00 CEST",
		"@every 8h":                       "07:59:59 CEST 15:59:59 CEST 23:59:59 CEST",
		"CRON_TZ=UTC 0 23 * * *":          "23:00:00 UTC",
		"TZ=America/New_York  0 20 * * *": "20:00:00 EDT",
		"CRON_TZ=UTC @daily":              "00:00:00 UTC",
	} {
		s := mustSchedule(t, spec, "Europe/Berlin")
		require.Equal(t, want, strings.Join(day(s, at), " "), spec)
		require.Equal(t, strings.TrimSpace(spec), s.String())
	}
	require.Equal(t, time.Local, mustSchedule(t, "@daily", "").Next(at).Location())
	require.True(t, worker.Schedule{}.Next(at).IsZero())
}

func TestScheduleErrors(t *testing.T) {
	for _, c := range []struct{ spec, zone, want string }{
		{"", "", `schedule "": it is empty: want an expression such as */15 * * * * or @every 15m`},
		{" ", "UTC", `schedule "": it is empty: want an expression such as */15 * * * * or @every 15m`},
		{"15m", "", `schedule "15m": it has 1 fields: want 5 (minute, hour, day of month, month, day of week), such as */15 * * * *, or 6 with seconds first`},
		{"60 * * * *", "", `schedule "60 * * * *": minute "60": want 0 to 59, such as 0 or */15 or 0,30`},
		{"*/0 * * * *", "", `schedule "*/0 * * * *": minute "*/0": want 0 to 59, such as 0 or */15 or 0,30`},
		{"0 24 * * *", "", `schedule "0 24 * * *": hour "24": want 0 to 23, such as 6 or */2 or 8-18`},
		{"0 18-8 * * *", "", `schedule "0 18-8 * * *": hour "18-8": want 0 to 23, such as 6 or */2 or 8-18`},
		{"0 *-8 * * *", "", `schedule "0 *-8 * * *": hour "*-8": want 0 to 23, such as 6 or */2 or 8-18`},
		{"0 6 0 * *", "", `schedule "0 6 0 * *": day of month "0": want 1 to 31, such as * or 1 or 1-7`},
		{"0 6 * MAI *", "", `schedule "0 6 * MAI *": month "MAI": want 1 to 12 or JAN to DEC, such as * or 1-6 or DEC`},
		{"0 6 * * 7", "", `schedule "0 6 * * 7": day of week "7": want 0 to 6 (0 is Sunday) or SUN to SAT, such as * or MON-FRI or 1,3,5`},
		{"0 6 * * 1,", "", `schedule "0 6 * * 1,": day of week "1,": want 0 to 6 (0 is Sunday) or SUN to SAT, such as * or MON-FRI or 1,3,5`},
		{"x 0 6 * * *", "", `schedule "x 0 6 * * *": second "x": want 0 to 59, such as 30 or */20`},
		{"0 6 30 2 *", "", `schedule "0 6 30 2 *": it never ticks: no year has such a day`},
		{"* */15 * * * *", "", `schedule "* */15 * * * *": two ticks are only 1s apart, want at least 10s; with six fields the first one is the second`},
		{"*/7 * * * * *", "", `schedule "*/7 * * * * *": two ticks are only 7s apart, want at least 10s; with six fields the first one is the second`},
		{"0,5 0 0 1 1 *", "", `schedule "0,5 0 0 1 1 *": two ticks are only 5s apart, want at least 10s; with six fields the first one is the second`},
		{"@every 1s", "", `schedule "@every 1s": want at least 10s between two ticks`},
		{"@every -5m", "", `schedule "@every -5m": want at least 10s between two ticks`},
		{"@every 10.5s", "", `schedule "@every 10.5s": @every wants whole seconds, such as @every 10s`},
		{"@every", "", `schedule "@every": @every wants a duration, such as @every 15m or @every 1h30m`},
		{"@every15m", "", `schedule "@every15m": @every wants a duration, such as @every 15m or @every 1h30m`},
		{"@fortnightly", "", `schedule "@fortnightly": this descriptor is not known: want @every DURATION, @hourly, @daily, @weekly, @monthly or @yearly`},
		{"@daily", "Europe/Berlinn", `schedule "@daily": time zone "Europe/Berlinn" is not known: want an IANA name, such as Europe/Berlin or UTC`},
		{"@daily", "../../etc/passwd", `schedule "@daily": time zone "../../etc/passwd" is not known: want an IANA name, such as Europe/Berlin or UTC`},
		{"CRON_TZ=Mars 0 6 * * *", "", `schedule "CRON_TZ=Mars 0 6 * * *": time zone "Mars" is not known: want an IANA name, such as Europe/Berlin or UTC`},
		{"CRON_TZ=UTC", "", `schedule "CRON_TZ=UTC": want CRON_TZ=ZONE and then an expression, such as CRON_TZ=Europe/Berlin 0 6 * * *`},
		{"TZ= 0 6 * * *", "", `schedule "TZ= 0 6 * * *": want TZ=ZONE and then an expression, such as TZ=Europe/Berlin 0 6 * * *`},
		{strings.Repeat("1,", 200), "", "schedule: longer than 200 bytes"},
	} {
		_, err := worker.ParseSchedule(c.spec, c.zone)
		require.EqualError(t, err, c.want)
	}
}

// ticked serves a schedule for so long, from a time on, and returns its ticks
// with how late each was called.
func ticked(t *testing.T, s worker.Schedule, from time.Time, lasting, jitter time.Duration) (ticks []time.Time, late []time.Duration) {
	time.Sleep(time.Until(from))
	ctx, stop := context.WithTimeout(t.Context(), lasting)
	defer stop()
	s.Serve(ctx, jitter, func(tick time.Time) {
		ticks = append(ticks, tick)
		late = append(late, time.Since(tick))
	})
	return ticks, late
}

// The days on which the clocks change in Berlin: 2026-03-29, of 23 hours, and
// 2026-10-25, of 25.
func TestScheduleAcrossClockChanges(t *testing.T) {
	zone := berlin(t)
	spring, autumn := time.Date(2026, 3, 29, 0, 0, 0, 0, zone), time.Date(2026, 10, 25, 0, 0, 0, 0, zone)
	for _, c := range []struct {
		spec           string
		spring, autumn string
	}{
		{"30 1 * * *", "01:30:00 CET", "01:30:00 CEST"},
		{"30 2 * * *", "", "02:30:00 CEST 02:30:00 CET"}, // is not there, and is there twice
		{"30 3 * * *", "03:30:00 CEST", "03:30:00 CET"},
		{"0 0 12 * * *", "12:00:00 CEST", "12:00:00 CET"},
		{"0 1-4 * * *", "01:00:00 CET 03:00:00 CEST 04:00:00 CEST", "01:00:00 CEST 02:00:00 CEST 02:00:00 CET 03:00:00 CET 04:00:00 CET"},
	} {
		s := mustSchedule(t, c.spec, zone.String())
		for at, want := range map[time.Time]string{spring: c.spring, autumn: c.autumn} {
			require.Equal(t, want, strings.Join(day(s, at), " "), "%s on %s", c.spec, at)
			synctest.Test(t, func(t *testing.T) {
				ticks, late := ticked(t, s, at, at.AddDate(0, 0, 1).Sub(at)-time.Second, 0)
				var got []string
				for i, tick := range ticks {
					got = append(got, tick.Format("15:04:05 MST"))
					require.Zero(t, late[i])
				}
				require.Equal(t, want, strings.Join(got, " "))
			})
		}
	}
	for at, quarters := range map[time.Time]int{spring: 23 * 4, autumn: 25 * 4, autumn.AddDate(0, 0, 1): 24 * 4} {
		for _, spec := range []string{"*/15 * * * *", "0 */15 * * * *", "@every 15m"} {
			synctest.Test(t, func(t *testing.T) {
				const jitter = 2 * time.Minute
				ticks, late := ticked(t, mustSchedule(t, spec, zone.String()), at.Add(-time.Second), at.AddDate(0, 0, 1).Sub(at), jitter)
				require.InDelta(t, quarters, len(ticks), 1, "@every counts from the start")
				seen := map[time.Duration]bool{}
				for i := range ticks {
					if i > 0 {
						require.Equal(t, 15*time.Minute, ticks[i].Sub(ticks[i-1]), "each once, with none left out")
					}
					require.GreaterOrEqual(t, late[i], time.Duration(0))
					require.Less(t, late[i], jitter)
					seen[late[i]] = true
				}
				require.Greater(t, len(seen), quarters/2, "each tick has a delay of its own")
			})
		}
	}
}

// 24 simulated hours with everything: a schedule, its jitter, the loop, and
// runs that take their time.
func TestScheduleDrivesTheLoop(t *testing.T) {
	zone := berlin(t)
	synctest.Test(t, func(t *testing.T) {
		from := time.Date(2026, 10, 25, 0, 0, 0, 0, zone)
		time.Sleep(time.Until(from.Add(-time.Second)))
		r := newRan(t, time.Minute)
		ctx, stop := context.WithTimeout(t.Context(), 25*time.Hour)
		defer stop()
		var group sync.WaitGroup
		for spec, source := range map[string]string{"*/30 * * * *": "a", "0 * * * *": "b", "30 2 * * *": ""} {
			s := mustSchedule(t, spec, zone.String())
			group.Go(func() {
				s.Serve(ctx, 0, func(time.Time) {
					trigger := worker.Trigger{Kind: worker.KindSchedule, Detail: s.String()}
					if source != "" {
						trigger.Sources = []string{source}
					}
					r.Want(trigger)
				})
			})
		}
		group.Wait()
		time.Sleep(time.Hour)
		r.stop()
		<-r.ended
		runs := map[string]int{} // how often each source was dealt with
		for _, w := range r.all {
			for _, name := range w.Sources {
				runs[name]++
			}
			if len(w.Sources) == 0 {
				runs["all"]++
			}
		}
		require.Equal(t, 1, r.most)
		require.Equal(t, 2, runs["all"])
		require.InDelta(t, 50, runs["a"]+runs["all"], 2)
		require.Equal(t, 25, runs["b"])
	})
}

// A tick that takes long is followed by one, however many were missed.
func TestScheduleMissedTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(from))
		ctx, stop := context.WithTimeout(t.Context(), 59*time.Minute)
		defer stop()
		var got []string
		mustSchedule(t, "*/5 * * * *", "UTC").Serve(ctx, 0, func(tick time.Time) {
			got = append(got, tick.Format("15:04")+" at "+time.Now().UTC().Format("15:04"))
			if len(got) == 2 {
				time.Sleep(31 * time.Minute)
			}
		})
		require.Equal(t, []string{"00:05 at 00:05", "00:10 at 00:10", "00:45 at 00:45", "00:50 at 00:50", "00:55 at 00:55"}, got)
	})
}

// A delay that is longer than the time between two ticks leaves none out.
func TestScheduleLongJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ticks, late := ticked(t, mustSchedule(t, "* * * * *", "UTC"), time.Date(2026, 6, 1, 0, 0, 1, 0, time.UTC), 24*time.Hour, time.Hour)
		require.InDelta(t, 24*60, len(ticks), 1)
		for _, d := range late {
			require.Less(t, d, 30*time.Second)
		}
	})
}

func TestScheduleStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		go func() { time.Sleep(90 * time.Second); stop() }()
		begin := time.Now()
		mustSchedule(t, "@yearly", "UTC").Serve(ctx, time.Hour, func(time.Time) { t.Error("ticked") })
		require.Equal(t, 90*time.Second, time.Since(begin), "at once")
		worker.Schedule{}.Serve(t.Context(), 0, nil) // never ticks, and returns
	})
}

func FuzzParseSchedule(f *testing.F) {
	for _, spec := range []string{"*/15 * * * *", "0 0 6 * * MON-FRI", "@every 1h30m", "CRON_TZ=Europe/Berlin 30 2 29 2 *", "@daily", "TZ=", "0 6 31 */2 ?", "1-5/2,7 * * jan sun"} {
		f.Add(spec, "Europe/Berlin")
		f.Add(spec, "")
	}
	f.Fuzz(func(t *testing.T, spec, zone string) {
		s, err := worker.ParseSchedule(spec, zone)
		if err != nil {
			require.Less(t, len(err.Error()), 4*len(spec)+4*len(zone)+300)
			return
		}
		last := time.Date(2026, 3, 28, 12, 0, 0, 1, time.UTC)
		for range 10 {
			next := s.Next(last)
			if next.IsZero() {
				return
			}
			require.True(t, next.After(last))
			last = next
		}
	})
}
