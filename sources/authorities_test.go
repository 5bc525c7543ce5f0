package sources_test

import (
	"encoding/pem"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

func TestAuthorities(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(path, append([]byte("# ours\n"), text...), 0o600))

	pool, err := sources.Authorities(path)
	require.NoError(t, err)
	transport := server.Client().Transport.(*http.Transport)
	transport.TLSClientConfig.RootCAs = pool
	answer, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
}

func TestAuthoritiesFail(t *testing.T) {
	_, err := sources.Authorities("/none/ca.pem")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "open /none/ca.pem: no such file or directory")
	_, err = sources.Authorities("authorities_test.go")
	require.EqualError(t, err, "authorities_test.go: holds no PEM certificate")
}
