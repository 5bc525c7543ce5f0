package page_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// patience is how long a browser may take for one thing: starting it on a busy
// machine is the longest.
const patience = 60 * time.Second

// tab is one page of a real browser, driven over the DevTools protocol.
type tab struct {
	conn    *websocket.Conn
	session string
	last    int
	faults  []string // what the browser complained about
}

// mustChromium starts a browser, or skips where there is none, unless MUST_RUN
// names chromium.
func mustChromium(tb testing.TB) *tab {
	tb.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("MUST_RUN"), ","), "chromium") {
			tb.Fatal("MUST_RUN names chromium, and it is not on PATH: apt-get install chromium")
		}
		tb.Skip("no chromium on PATH")
	}
	folder := tb.TempDir()
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
		"--host-resolver-rules=MAP lan.test 127.0.0.1", "--remote-debugging-port=0", "--user-data-dir="+folder, "about:blank")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(tb, cmd.Start())
	tb.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it and its children
		_ = cmd.Wait()
	})
	var port, path string
	require.Eventually(tb, func() bool {
		text, err := os.ReadFile(filepath.Join(folder, "DevToolsActivePort"))
		port, path, _ = strings.Cut(strings.TrimSpace(string(text)), "\n")
		return err == nil && path != ""
	}, patience, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:"+port+path, nil)
	require.NoError(tb, err)
	conn.SetReadLimit(64 << 20)
	b := &tab{conn: conn}
	tb.Cleanup(func() { _ = conn.CloseNow() })
	var target struct{ TargetID string }
	b.call(tb, "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call(tb, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Audits", "DOM", "Accessibility"} {
		b.call(tb, domain+".enable", nil, nil)
	}
	return b
}

// packet is a call, its answer or an event.
type packet struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// call asks the browser; answer may be nil.
func (b *tab) call(tb testing.TB, method string, params, answer any) {
	tb.Helper()
	require.NoError(tb, b.try(tb, method, params, answer), method)
}

// try asks the browser, and returns what it refuses. Events that come in
// between are looked at.
func (b *tab) try(tb testing.TB, method string, params, answer any) error {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b.last++
	text, err := json.Marshal(packet{ID: b.last, SessionID: b.session, Method: method, Params: params})
	require.NoError(tb, err)
	require.NoError(tb, b.conn.Write(ctx, websocket.MessageText, text))
	for {
		_, text, err := b.conn.Read(ctx)
		require.NoError(tb, err, method)
		var p packet
		require.NoError(tb, json.Unmarshal(text, &p))
		if p.ID != b.last {
			b.hear(p.Method, text)
			continue
		}
		if p.Error != nil {
			return errors.New(p.Error.Message)
		}
		if answer != nil {
			require.NoError(tb, json.Unmarshal(p.Result, answer))
		}
		return nil
	}
}

// hear keeps what the browser complains about.
func (b *tab) hear(method string, text []byte) {
	var event struct {
		Params struct {
			Type  string `json:"type"`
			Entry struct{ Level, Text, URL string }
			Issue struct{ Code string }
		}
	}
	_ = json.Unmarshal(text, &event) // what is of another form is no complaint
	p := event.Params
	switch {
	case method == "Runtime.exceptionThrown",
		method == "Runtime.consoleAPICalled" && p.Type != "debug",
		method == "Log.entryAdded" && p.Entry.Level != "verbose" && p.Entry.Level != "info",
		method == "Audits.issueAdded" && p.Issue.Code != "QuirksModeIssue":
		b.faults = append(b.faults, string(text))
	}
}

// eval runs a script in the page, whether scripts of the page run or not, and
// decodes what it returns.
func (b *tab) eval(tb testing.TB, script string, answer any) {
	tb.Helper()
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	b.call(tb, "Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &got)
	require.Nil(tb, got.ExceptionDetails, "%s: %+v", script, got.ExceptionDetails)
	if answer != nil {
		require.NoError(tb, json.Unmarshal(got.Result.Value, answer), script)
	}
}

// until waits for a condition in the page, also across a change of pages.
func (b *tab) until(tb testing.TB, condition string) {
	tb.Helper()
	script := "Boolean(document.body && document.readyState === 'complete' && (" + condition + "))"
	var got struct{ Result struct{ Value bool } }
	end := time.Now().Add(patience)
	for b.try(tb, "Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true}, &got) != nil || !got.Result.Value {
		require.True(tb, time.Now().Before(end), "never came true: %s", condition)
		time.Sleep(50 * time.Millisecond)
	}
}

func (b *tab) open(tb testing.TB, url string) {
	tb.Helper()
	b.call(tb, "Page.navigate", map[string]any{"url": url}, nil)
	b.until(tb, fmt.Sprintf("location.href === %q && document.querySelector('h1')", url))
}

// size is the browser's window, in CSS pixels.
func (b *tab) size(tb testing.TB, width, height int) {
	tb.Helper()
	b.call(tb, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
}

// media sets what the person prefers: "prefers-color-scheme", "dark".
func (b *tab) media(tb testing.TB, features ...string) {
	tb.Helper()
	list := []map[string]string{}
	for i := 0; i+1 < len(features); i += 2 {
		list = append(list, map[string]string{"name": features[i], "value": features[i+1]})
	}
	b.call(tb, "Emulation.setEmulatedMedia", map[string]any{"features": list}, nil)
}

func (b *tab) key(tb testing.TB, key string, code int, text string) {
	tb.Helper()
	down := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code}
	if text != "" {
		down["text"] = text
	}
	b.call(tb, "Input.dispatchKeyEvent", down, nil)
	b.call(tb, "Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code}, nil)
}

func (b *tab) tab(tb testing.TB)   { b.key(tb, "Tab", 9, "") }
func (b *tab) enter(tb testing.TB) { b.key(tb, "Enter", 13, "\r") }
func (b *tab) write(tb testing.TB, text string) {
	b.call(tb, "Input.insertText", map[string]any{"text": text}, nil)
}

// shot writes a picture of the whole page where ALLOCSYNC_TEST_SHOTS names a folder.
func (b *tab) shot(tb testing.TB, name string) {
	tb.Helper()
	folder := os.Getenv("ALLOCSYNC_TEST_SHOTS")
	if folder == "" {
		return
	}
	var got struct{ Data string }
	b.call(tb, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &got)
	picture, err := base64.StdEncoding.DecodeString(got.Data)
	require.NoError(tb, err)
	require.NoError(tb, os.MkdirAll(folder, 0o755))
	require.NoError(tb, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644))
}
