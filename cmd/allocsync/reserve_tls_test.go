package main

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The certificate of a serve is checked, and --ca-file says who may have signed
// it; the token is not given to anybody else.
func TestReserveCAFile(t *testing.T) {
	l := newLab(t)
	asked := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		require.Equal(t, "Bearer "+apiToken, r.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"reservations": [], "missing": []}`))
	}))
	defer server.Close()
	file := func(name string, text []byte) string {
		path := filepath.Join(l.folder, name)
		require.NoError(t, os.WriteFile(path, text, 0o600))
		return path
	}
	list := func(code int, more ...string) outcome {
		t.Helper()
		args := append([]string{"reservations", "--server", server.URL, "--token-file", file("token", []byte(apiToken+"\n"))}, more...)
		return l.mustRun(t, code, args...)
	}
	require.Contains(t, list(exitFailed).stderr, "certificate")
	require.Contains(t, list(exitFailed, "--ca-file", file("empty.pem", nil)).stderr, "empty.pem: holds no PEM certificate")
	require.Contains(t, list(exitFailed, "--ca-file", filepath.Join(l.folder, "none.pem")).stderr, "--ca-file: open ")
	require.Zero(t, asked)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	list(exitInStep, "--ca-file", file("ca.pem", authority))
	require.Equal(t, 1, asked)
}
