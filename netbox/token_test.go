package netbox

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/netbox/netboxtest"
)

func TestTokenDoesNotPrint(t *testing.T) {
	token := Token("nbt_abcdefgh.0123456789abcdef")
	options := Options{URL: "https://nb.example", Token: token}
	client, err := Open(options)
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", token, "options", options)
	asJSON, err := json.Marshal(map[string]any{"options": options, "token": token, "pointer": &token})
	require.NoError(t, err)
	texts := []string{log.String(), string(asJSON), token.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, token), fmt.Sprintf(verb, options), fmt.Sprintf(verb, &options), fmt.Sprintf(verb, []Token{token}))
	}
	texts = append(texts, fmt.Sprintf("%+v", client.token))
	for _, text := range texts {
		require.NotContains(t, text, "abcdefgh")
		require.NotContains(t, strings.ToLower(text), fmt.Sprintf("%x", "abcdefgh"))
	}
	require.Empty(t, Token("").String(), "no token is told apart from one")
}

func TestTokensOfBothVersions(t *testing.T) {
	require.Equal(t, "Token 0123", Token("0123").header())
	require.Equal(t, "Bearer nbt_k.0123", Token("nbt_k.0123").header())
	server := netboxtest.New(netboxtest.Options{Version: netboxtest.V47, Token: "nbt_ABCDEFGHIJKL.0123456789abcdef0123456789abcdef01234567"})
	web := httptest.NewServer(server)
	defer web.Close()
	_, err := mustOpen(t, Options{URL: web.URL, Token: "nbt_ABCDEFGHIJKL.0123456789abcdef0123456789abcdef01234567"}).Setup(t.Context(), false)
	require.NoError(t, err)
	_, err = mustOpen(t, Options{URL: web.URL, Token: "wrong"}).Setup(t.Context(), false)
	require.ErrorIs(t, err, ErrDenied)

	url, _ := needRealNetBox(t)
	v2 := Token(os.Getenv("ALLOCSYNC_TEST_NETBOX_TOKEN_V2"))
	if v2 == "" {
		t.Skip("no token of version 2")
	}
	_, err = mustOpen(t, Options{URL: url, Token: v2}).Prepare(t.Context(), Refs{})
	require.NoError(t, err)
}

// A server that repeats the token in its answers does not get it into errors.
func TestTokenThatIsEchoedDoesNotPrint(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef01234567"
	bodies := map[string]struct {
		kind   string
		status int
	}{
		"json": {"application/json", 400}, "html": {"text/html", 404}, "text": {"text/plain", 400}, "denied": {"application/json", 403},
		"ok html": {"text/html", 200}, "redirect": {"text/html", 302}, "server": {"application/json", 500}, "proxy": {"text/html", 502},
	}
	for name, c := range bodies {
		for _, token := range []Token{secret, "nbt_ABCDEFGHIJKL." + secret} {
			t.Run(name, func(t *testing.T) {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					said := r.Header.Get("Authorization")
					w.Header().Set("Content-Type", c.kind)
					w.Header().Set("Location", "https://x.example/"+secret+"/?t="+secret)
					w.WriteHeader(c.status)
					text, _ := json.Marshal(map[string]any{"detail": said, "address": []string{secret}, "error": said, "exception": secret})
					if c.kind == "text/html" {
						text = []byte("<title>" + said + "</title>")
					}
					_, _ = w.Write(text)
				}))
				defer server.Close()
				client := mustOpen(t, Options{URL: server.URL, Token: token, Retries: -1})
				s := &Session{client: client, version: Version{Major: 4, Minor: 7}, strange: map[string]int{}, strangeRefs: map[int]string{}}
				b := &bed{client: client, run: "x"}
				_, errStatus := client.Status(t.Context())
				_, errCreate := s.Create(t.Context(), []ipam.Record{b.address("", "10.0.0.1/24")})
				_, errOwned := s.Owned(t.Context(), []string{"a/b"})
				for _, err := range []error{errStatus, errCreate, errOwned} {
					require.Error(t, err)
					for _, verb := range []string{"%v", "%+v", "%#v"} {
						require.NotContains(t, fmt.Sprintf(verb, err), secret)
					}
				}
				for _, finding := range client.Check(t.Context(), "dc1") {
					require.NotContains(t, finding.Text+finding.Fix, secret)
				}
			})
		}
	}
}
