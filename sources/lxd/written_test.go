package lxd_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
)

// written is a recorded server that can be written to, as far as reserving
// does, so that answers can be lost, late and wrong as no real one's are. What
// it knows of a real server's behaviour the tests against the real one show.
type written struct {
	mu        sync.Mutex
	list      []map[string]any
	instances map[string]map[string]any // those of the project default, by name
	forwards  map[string]map[string]any // by path
	log       []string                  // method and path of each request that changes something or looks at one thing

	// fault answers a request in the server's place, or after it has been
	// carried out, and says so. nil means no fault.
	fault func(w http.ResponseWriter, r *http.Request, carryOut func()) bool
}

// newWritten is the recorded server, with one more instance whose interface has
// room.
func newWritten(tb testing.TB) *written {
	tb.Helper()
	body, err := os.ReadFile("../../fixtures/lxd/incus-6.0.4-reserved/1.0/instances__all-projects=true,recursion=1.json")
	require.NoError(tb, err)
	var list struct{ Metadata []map[string]any }
	require.NoError(tb, json.Unmarshal(body, &list))
	nic := map[string]any{"type": "nic", "network": "brpub", "name": "eth0"}
	config := map[string]any{"volatile.eth0.hwaddr": "10:66:6a:00:00:01"}
	s := &written{instances: map[string]map[string]any{}, forwards: map[string]map[string]any{}}
	s.list = append(list.Metadata, map[string]any{
		"name": "res-free", "project": "default", "status": "Stopped", "profiles": []any{"default"}, "architecture": "x86_64",
		"config": config, "expanded_config": config, "devices": map[string]any{"eth0": nic}, "expanded_devices": map[string]any{"eth0": nic},
	})
	for _, i := range s.list {
		if i["project"] == "default" {
			s.instances[i["name"].(string)] = i
		}
	}
	return s
}

func (s *written) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/1.0/")
	_, isInstance := s.instances[strings.TrimPrefix(path, "instances/")]
	one := isInstance || strings.Contains(path, "/forwards/") || strings.HasPrefix(path, "profiles/") || strings.HasPrefix(path, "operations/")
	if r.Method == http.MethodGet && path == "instances" {
		s.mu.Lock()
		defer s.mu.Unlock()
		answer(w, 200, sync200(s.list))
		return
	}
	if r.Method == http.MethodGet && !one {
		fixtures.LXD("incus-6.0.4-reserved").ServeHTTP(w, r)
		return
	}
	s.mu.Lock()
	s.log = append(s.log, r.Method+" "+path)
	s.mu.Unlock()
	if s.fault != nil && s.fault(w, r, func() { s.carryOut(discard{}, r, path) }) {
		return
	}
	s.carryOut(w, r, path)
}

// discard is an answer that nobody hears.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func answer(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(body)) // a client that has gone needs no answer
}

func sync200(metadata any) string {
	text, _ := json.Marshal(metadata) // of what was JSON before
	return `{"type":"sync","status_code":200,"metadata":` + string(text) + `}`
}

func (s *written) carryOut(w http.ResponseWriter, r *http.Request, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body) // none is none
	kind, name, _ := strings.Cut(path, "/")
	switch {
	case kind == "instances":
		s.instance(w, r, name, body)
	case kind == "profiles":
		answer(w, 200, `{"type":"sync","metadata":{"name":"default","devices":{"eth0":{"name":"eth0","network":"brnat","type":"nic"},"root":{"path":"/","pool":"default","type":"disk"}}}}`)
	case kind == "operations":
		answer(w, 200, `{"type":"sync","metadata":{"status_code":200,"err":""}}`)
	case r.Method == http.MethodPost:
		path += "/" + body["listen_address"].(string)
		if s.forwards[path] != nil {
			answer(w, 409, failure(409, "Failed creating forward: A forward for that listen address already exists"))
			return
		}
		s.forwards[path] = body
		answer(w, 201, `{"type":"sync","metadata":null}`)
	case s.forwards[path] == nil:
		answer(w, 404, failure(404, "Network forward not found"))
	case r.Method == http.MethodDelete:
		delete(s.forwards, path)
		answer(w, 200, sync200(map[string]any{}))
	default:
		w.Header().Set("ETag", "x")
		answer(w, 200, sync200(s.forwards[path]))
	}
}

func (s *written) instance(w http.ResponseWriter, r *http.Request, name string, body map[string]any) {
	i := s.instances[name]
	text, _ := json.Marshal([]any{i["config"], i["devices"]}) // of what was JSON before
	etag := fmt.Sprintf("%x", sha256.Sum256(text))
	if match := r.Header.Get("If-Match"); match != etag && r.Method != http.MethodGet {
		answer(w, 412, failure(412, "ETag doesn't match"))
		return
	}
	config, devices := i["config"].(map[string]any), i["devices"].(map[string]any)
	switch r.Method {
	case http.MethodGet:
		w.Header().Set("ETag", etag)
		answer(w, 200, sync200(i))
		return
	case http.MethodPatch:
		for key, value := range body["config"].(map[string]any) {
			config[key] = value
			if value == "" {
				delete(config, key)
			}
		}
		maps.Copy(devices, body["devices"].(map[string]any))
	case http.MethodPut:
		config, devices = body["config"].(map[string]any), body["devices"].(map[string]any)
	}
	i["config"], i["devices"] = config, devices
	i["expanded_config"] = config
	expanded := map[string]any{"root": map[string]any{"type": "disk"}, "eth0": map[string]any{"name": "eth0", "network": "brnat", "type": "nic"}}
	maps.Copy(expanded, devices)
	i["expanded_devices"] = expanded
	if r.Method == http.MethodPut {
		answer(w, 202, `{"type":"async","operation":"/1.0/operations/7d3f","metadata":{"status_code":103}}`)
		return
	}
	answer(w, 200, sync200(map[string]any{}))
}

// did lists the requests of one method since the last time.
func (s *written) did(method string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, line := range s.log {
		if strings.HasPrefix(line, method+" ") {
			list = append(list, line)
		}
	}
	s.log = nil
	return list
}

func (s *written) device(name string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	device, _ := s.instances[name]["devices"].(map[string]any)["eth0"].(map[string]any)
	return device
}
