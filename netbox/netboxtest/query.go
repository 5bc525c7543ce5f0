package netboxtest

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// params are the query parameters in their order; NetBox reads repeated ones as
// a list, or takes the last.
type params struct {
	keys   []string
	values map[string][]string
}

// parseQuery reads a query string as Python does: ; separates nothing, a bad
// escape stands for itself.
func parseQuery(raw string) params {
	p := params{values: map[string][]string{}}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		key, value = unescape(key), unescape(value)
		if _, ok := p.values[key]; !ok {
			p.keys = append(p.keys, key)
		}
		p.values[key] = append(p.values[key], value)
	}
	return p
}

func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s):
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				b = append(b, '%')
				continue
			}
			b = append(b, byte(n))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// last gives a parameter's last value.
func (p params) last(key string) (string, bool) {
	v := p.values[key]
	if len(v) == 0 {
		return "", false
	}
	return v[len(v)-1], true
}

// with encodes the parameters with some replaced (nil: removed), keys in order,
// as DRF builds its links.
func (p params) with(replaced map[string]*int) string {
	keys := slices.Clone(p.keys)
	for k := range replaced {
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var parts []string
	for _, k := range keys {
		if n, ok := replaced[k]; ok {
			if n != nil {
				parts = append(parts, url.QueryEscape(k)+"="+strconv.Itoa(*n))
			}
			continue
		}
		for _, v := range p.values[k] {
			parts = append(parts, url.QueryEscape(k)+"="+url.QueryEscape(v))
		}
	}
	return strings.Join(parts, "&")
}
