package page_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"allocsync/page"

	"github.com/stretchr/testify/require"
)

// bed is a page with a plan that waits, and what was approved on it.
type bed struct {
	handler  http.Handler
	view     page.View
	now      time.Time
	approved []string
	err      error
}

func newBed(tb testing.TB, change ...func(*page.Options)) *bed {
	tb.Helper()
	b := &bed{view: sample(), now: noon()}
	o := page.Options{
		View: func() page.View { return b.view }, Now: func() time.Time { return b.now }, ApproveToken: approveToken,
		Approve: func(digest string) error {
			b.approved = append(b.approved, digest)
			return b.err
		},
	}
	for _, c := range change {
		c(&o)
	}
	b.handler = page.New(o)
	return b
}

// form is what a browser has after it has loaded a page: the fields that it
// would send, and its cookie.
type form struct {
	fields url.Values
	cookie *http.Cookie
}

func (b *bed) mustForm(tb testing.TB) form {
	tb.Helper()
	answer, body := get(tb, b.handler, "/")
	cookies := answer.Cookies()
	require.Len(tb, cookies, 1)
	require.True(tb, cookies[0].HttpOnly)
	require.Equal(tb, http.SameSiteStrictMode, cookies[0].SameSite)
	f := form{fields: url.Values{"token": {approveToken}}, cookie: cookies[0]}
	for _, i := range all(parsed(tb, body), "input") {
		if attr(i, "type") == "hidden" {
			f.fields.Set(attr(i, "name"), attr(i, "value"))
		}
	}
	require.Equal(tb, digest, f.fields.Get("digest"))
	return f
}

// post sends a form as a browser does.
func (b *bed) post(tb testing.TB, f form, change ...func(*http.Request)) (*http.Response, string) {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, "/approve", strings.NewReader(f.fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if f.cookie != nil {
		r.AddCookie(f.cookie)
	}
	for _, c := range change {
		c(r)
	}
	return do(tb, b.handler, r)
}

func TestApprove(t *testing.T) {
	b := newBed(t)
	f := b.mustForm(t)
	f.fields.Set("token", " "+approveToken+"\n") // as it is pasted
	answer, _ := b.post(t, f)
	require.Equal(t, http.StatusSeeOther, answer.StatusCode)
	require.Equal(t, []string{digest}, b.approved)
	to := answer.Header.Get("Location")
	require.True(t, strings.HasPrefix(to, "/?"), to)
	require.NotContains(t, to, approveToken)

	_, body := get(t, b.handler, to)
	require.Contains(t, body, "Plan "+digest+" was approved at 12:00:00 UTC.")
	requireValid(t, body)
	_, body = get(t, b.handler, strings.Replace(to, digest, strings.Repeat("0", 32), 1))
	require.NotContains(t, body, "was approved", "a link that somebody made up")
	_, body = get(t, newBed(t).handler, to)
	require.NotContains(t, body, "was approved", "a link of another process")
	b.now = b.now.Add(11 * time.Minute)
	_, body = get(t, b.handler, to)
	require.NotContains(t, body, "was approved", "an old link")
}

func TestApproveIsRefused(t *testing.T) {
	header := func(key, value string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(key, value) } }
	for name, c := range map[string]struct {
		status int
		text   string
		form   func(*form)
		ask    func(*http.Request)
		bed    func(*bed)
	}{
		"wrong token":          {http.StatusForbidden, "not the approval token", func(f *form) { f.fields.Set("token", approveToken+"x") }, nil, nil},
		"part of the token":    {http.StatusForbidden, "not the approval token", func(f *form) { f.fields.Set("token", approveToken[:5]) }, nil, nil},
		"no token":             {http.StatusForbidden, "not the approval token", func(f *form) { f.fields.Del("token") }, nil, nil},
		"another site":         {http.StatusForbidden, "came from another site", nil, header("Sec-Fetch-Site", "cross-site"), nil},
		"another port":         {http.StatusForbidden, "came from another site", nil, header("Sec-Fetch-Site", "same-site"), nil},
		"another origin":       {http.StatusForbidden, "came from another site", nil, func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") }, nil},
		"no cookie":            {http.StatusForbidden, "sent no cookie", func(f *form) { f.cookie = nil }, nil, nil},
		"another cookie":       {http.StatusForbidden, "out of date", func(f *form) { f.cookie.Value = strings.Repeat("A", len(f.cookie.Value)) }, nil, nil},
		"no proof":             {http.StatusForbidden, "out of date", func(f *form) { f.fields.Del("form") }, nil, nil},
		"wrong digest":         {http.StatusConflict, "no longer waits", func(f *form) { f.fields.Set("digest", strings.Repeat("0", 32)) }, nil, nil},
		"no digest":            {http.StatusConflict, "no longer waits", func(f *form) { f.fields.Del("digest") }, nil, nil},
		"part of the digest":   {http.StatusConflict, "no longer waits", func(f *form) { f.fields.Set("digest", digest[:8]) }, nil, nil},
		"planned anew":         {http.StatusConflict, "no longer waits", nil, nil, func(b *bed) { b.view.Pending[0].Digest = strings.Repeat("1", 32) }},
		"nothing waits":        {http.StatusConflict, "no longer waits", nil, nil, func(b *bed) { b.view.Pending = nil }},
		"in the address":       {http.StatusForbidden, "sent no cookie", func(f *form) { f.fields = nil }, func(r *http.Request) { r.URL.RawQuery = "token=" + approveToken + "&digest=" + digest }, nil},
		"token in the address": {http.StatusForbidden, "not the approval token", func(f *form) { f.fields.Del("token") }, func(r *http.Request) { r.URL.RawQuery = "token=" + approveToken }, nil},
		"a body without end":   {http.StatusBadRequest, "could not be read", func(f *form) { f.fields.Set("token", strings.Repeat("x", 1<<15)) }, nil, nil},
		"no form":              {http.StatusForbidden, "sent no cookie", nil, header("Content-Type", "application/json"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			f := b.mustForm(t)
			if c.form != nil {
				c.form(&f)
			}
			if c.bed != nil {
				c.bed(b)
			}
			ask := c.ask
			if ask == nil {
				ask = func(*http.Request) {}
			}
			answer, body := b.post(t, f, ask)
			require.Equal(t, c.status, answer.StatusCode, body)
			if c.text == "sent no cookie" && f.fields.Get("digest") != digest {
				c.text = "no cookie"
			}
			require.Contains(t, body, c.text)
			require.NotContains(t, body, approveToken)
			require.Empty(t, b.approved)
			requireValid(t, body)
		})
	}
}

// A plan is approved by a form that was sent, never by a link.
func TestApproveByGetIsRefused(t *testing.T) {
	b := newBed(t)
	f := b.mustForm(t)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
		r := httptest.NewRequest(method, "/approve?"+f.fields.Encode(), nil)
		r.AddCookie(f.cookie)
		answer, _ := do(t, b.handler, r)
		require.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode)
		require.Equal(t, "POST", answer.Header.Get("Allow"))
	}
	require.Empty(t, b.approved)
}

// Without an approval token there is no form, and nothing behind it.
func TestNoApprovals(t *testing.T) {
	for name, change := range map[string]func(*page.Options){
		"no token":    func(o *page.Options) { o.ApproveToken = "" },
		"nobody asks": func(o *page.Options) { o.Approve = nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, change)
			answer, body := get(t, b.handler, "/")
			require.NotContains(t, body, "<form class=\"approve\"")
			require.NotContains(t, body, "type=\"password\"")
			require.Contains(t, body, "allocsync sync --approve "+digest)
			require.Empty(t, answer.Cookies())
			for _, token := range []string{"", approveToken} {
				answer, _ = b.post(t, form{fields: url.Values{"digest": {digest}, "token": {token}}})
				require.Equal(t, http.StatusNotFound, answer.StatusCode)
			}
			require.Empty(t, b.approved)
		})
	}
}

func TestApproveFails(t *testing.T) {
	b := newBed(t)
	b.err = errors.New("the worker is <stopping>")
	answer, body := b.post(t, b.mustForm(t))
	require.Equal(t, http.StatusConflict, answer.StatusCode)
	require.Contains(t, body, "the worker is &lt;stopping&gt;")
}

// Wrong tokens can be given a few times; then the right one helps neither, so
// that nobody can go on guessing.
func TestAttempts(t *testing.T) {
	b := newBed(t)
	good := b.mustForm(t)
	wrong := b.mustForm(t)
	wrong.fields.Set("token", "guess")
	from := func(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }
	for i := range 5 {
		answer, _ := b.post(t, wrong, from(fmt.Sprintf("[2001:db8::%x]:5", i+1))) // one network
		require.Equal(t, http.StatusForbidden, answer.StatusCode)
	}
	for _, f := range []form{wrong, good} {
		answer, body := b.post(t, f, from("[2001:db8::ffff]:5"))
		require.Equal(t, http.StatusTooManyRequests, answer.StatusCode)
		require.NotEmpty(t, answer.Header.Get("Retry-After"))
		require.Contains(t, body, "Too many wrong approval tokens")
	}
	require.Empty(t, b.approved)

	answer, _ := b.post(t, good, from("192.0.2.1:5"))
	require.Equal(t, http.StatusSeeOther, answer.StatusCode, "somebody else")
	b.now = b.now.Add(13 * time.Second)
	for range 20 { // what was right costs nothing
		answer, _ = b.post(t, good, from("[2001:db8::ffff]:5"))
		require.Equal(t, http.StatusSeeOther, answer.StatusCode)
	}

	limited := 0
	for i := range 200 { // from everywhere
		answer, _ := b.post(t, wrong, from("10.0."+strconv.Itoa(i)+".1:5"))
		if answer.StatusCode == http.StatusTooManyRequests {
			limited++
		}
	}
	require.GreaterOrEqual(t, limited, 130)
}

func TestReadToken(t *testing.T) {
	b := newBed(t, func(o *page.Options) { o.ReadToken = readToken })
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	bearer := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	for name, c := range map[string]struct {
		ask    func(*http.Request)
		status int
	}{
		"basic":          {basic("", readToken), 200},
		"any user":       {basic("alice", readToken), 200},
		"bearer":         {bearer("Bearer " + readToken), 200},
		"small letters":  {bearer("bearer " + readToken), 200},
		"nothing":        {func(*http.Request) {}, 401},
		"as user":        {basic(readToken, ""), 401},
		"wrong":          {basic("", "x"), 401},
		"empty bearer":   {bearer("Bearer "), 401},
		"other scheme":   {bearer("Token " + readToken), 401},
		"approval token": {basic("", approveToken), 401},
		"part":           {basic("", readToken[:4]), 401},
	} {
		t.Run(name, func(t *testing.T) {
			b.now = b.now.Add(time.Hour)
			for _, path := range append(paths(), "/assets/page.css", "/approve") {
				b.now = b.now.Add(time.Minute)
				answer, body := get(t, b.handler, path, c.ask)
				if c.status == 200 {
					require.NotEqual(t, http.StatusUnauthorized, answer.StatusCode, path)
					continue
				}
				require.Equal(t, http.StatusUnauthorized, answer.StatusCode, path)
				require.Contains(t, answer.Header.Get("WWW-Authenticate"), `Basic realm="allocsync"`)
				require.NotContains(t, body, "dc1", "nothing is told")
				requireValid(t, body)
			}
		})
	}
	answer, _ := b.post(t, form{fields: url.Values{"digest": {digest}, "token": {approveToken}}})
	require.Equal(t, http.StatusUnauthorized, answer.StatusCode)

	for range 6 {
		answer, _ = get(t, b.handler, "/", basic("", "guess"))
	}
	require.Equal(t, http.StatusTooManyRequests, answer.StatusCode)
	answer, _ = get(t, b.handler, "/", basic("", readToken))
	require.Equal(t, http.StatusTooManyRequests, answer.StatusCode)
	answer, _ = get(t, b.handler, "/")
	require.Equal(t, http.StatusUnauthorized, answer.StatusCode, "whoever has no token learns how to bring one")
}

// No token is in any page.
func TestNoTokens(t *testing.T) {
	b := newBed(t, func(o *page.Options) { o.ReadToken = readToken })
	for _, path := range paths() {
		_, body := get(t, b.handler, path, func(r *http.Request) { r.SetBasicAuth("", readToken) })
		require.NotContains(t, body, readToken)
		require.NotContains(t, body, approveToken)
	}
}
