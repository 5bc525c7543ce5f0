package page

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// number groups thousands: 12,345.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted is "1 row", "2 rows".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// took rounds a duration to what a person cares for.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// when is a moment as seen from now. The moment itself is always there: a page
// that stays open, or on paper, must not go on saying "just now".
func when(now, t time.Time) template.HTML {
	if t.IsZero() {
		return `<span class="none">–<span class="unseen"> (none)</span></span>`
	}
	t, now = t.UTC(), now.UTC()
	layout := "2006-01-02 15:04"
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		layout = "15:04:05"
	}
	text := template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `">` + t.Format(layout) + ` UTC</time>`)
	if t.Equal(now) {
		return text
	}
	return text + template.HTML(` <small>`+away(t.Sub(now))+`</small>`)
}

// away is how far a moment is: "in 4 min", "2 h ago".
func away(d time.Duration) string {
	text := span(d.Abs())
	switch {
	case text == "":
		return "now"
	case d > 0:
		return "in " + text
	}
	return text + " ago"
}

func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return ""
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%s days", number(int(d.Hours()/24)))
}

// shown is a field's value: an empty one is a dash.
func shown(s string) string {
	if s == "" {
		return "–"
	}
	return plain(s)
}

// where is the address as a person reads it, with what it is and its VRF.
func where(kind, address, vrf string) string {
	var about []string
	if kind == KindPrefix {
		about = append(about, "prefix")
	}
	if vrf != "" {
		about = append(about, "VRF "+plain(vrf))
	}
	if len(about) == 0 {
		return plain(address)
	}
	return plain(address) + " (" + strings.Join(about, ", ") + ")"
}

// percent writes a share so that "0 %" means none and "100 %" all.
func percent(share float64) string {
	switch p := 100 * share; {
	case math.IsNaN(p) || p <= 0:
		return "0 %"
	case p < 0.1:
		return "< 0.1 %"
	case p < 10:
		return fmt.Sprintf("%.1f %%", p)
	case p > 99 && p < 100:
		return "> 99 %"
	default:
		return fmt.Sprintf("%.0f %%", p)
	}
}

// capacity writes how many addresses there are; of very many, nobody reads the
// digits.
func capacity(n float64) string {
	switch {
	case n <= 1<<32:
		return number(int(n))
	case n == math.Trunc(n) && math.Exp2(math.Round(math.Log2(n))) == n:
		return fmt.Sprintf("2^%d", int(math.Round(math.Log2(n))))
	}
	return fmt.Sprintf("about 2^%d", int(math.Round(math.Log2(n))))
}

// sign is a mark that tells states apart without colour.
func sign(s string) string {
	signs := map[string]string{
		"create": "+", "update": "±", "delete": "−", "held": "‖",
		"reserve": "+", "change": "±", "release": "−",
		AnswerComplete: "✓", AnswerIncomplete: "!", AnswerNone: "✕",
		OutcomeInStep: "=", OutcomeApplied: "✓", OutcomePartly: "!", OutcomeOver: "?", OutcomeFailed: "✕",
	}
	if mark := signs[s]; mark != "" {
		return mark
	}
	return "·"
}

// tone is the class that colours a state; "" for one that needs no colour.
func tone(s string) string {
	switch s {
	case AnswerComplete, OutcomeApplied, "create", "reserve":
		return "create"
	case AnswerIncomplete, OutcomePartly, "update", "change":
		return "update"
	case AnswerNone, OutcomeFailed, "delete", "release":
		return "delete"
	case OutcomeOver, "held":
		return "held"
	}
	return "plainly"
}
