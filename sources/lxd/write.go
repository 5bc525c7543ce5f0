package lxd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"allocsync/sources"
)

// Bounds of waiting for an operation: one request waits that long, and so many
// of them are made. The context ends it too.
const (
	operationSeconds = 10
	maxWaits         = 30
)

// validation matches what Incus and LXD say with status 500 when they refuse a
// change: Incus 6.0.4 and LXD 5.0.2 have no other code for most of it. The texts
// are spelled out as far as they were seen, and what is not known is taken to be
// trouble: then it is tried again, while a refusal would stand until something
// changes. "Failed creating forward: " alone says nothing, for example: a locked
// database follows it too.
var validation = regexp.MustCompile(`^Invalid (devices|config|device|option)\b` +
	`|^Failed (update|add|start) validation for device ` +
	`|^Failed (creating|updating|create|update) forward: ` +
	`(Forward listen address |Failed parsing |Invalid |Cannot use |A forward for |Uplink network |Project |Listen address )`)

// write sends a change, under the condition that the ETag is still that one,
// unless it is "". It returns when the change is made: it waits for the
// operation, if the answer is one.
func (c *client) write(ctx context.Context, method, path, project, etag string, body any) error {
	target := path + "?" + url.Values{"project": {project}}.Encode()
	request := c.rest.R()
	if body != nil {
		request.SetHeader("Content-Type", "application/json").SetBody(body)
	}
	if etag != "" {
		request.SetHeader("If-Match", etag)
	}
	answer, err := c.send(ctx, request, method, target)
	operation := ""
	if err == nil {
		operation, err = accepted(answer.StatusCode(), answer.Body())
	}
	if err == nil && operation != "" {
		err = c.wait(ctx, operation, project)
	}
	if err != nil {
		return c.failed(method, target, err)
	}
	return nil
}

// accepted reads the answer to a change: the operation that carries it out, or
// "" if it has been carried out.
func accepted(status int, body []byte) (string, error) {
	var e envelope
	err := json.Unmarshal(body, &e)
	switch {
	case err == nil && (e.Type == "error" || (status >= 200 && status < 300 && e.ErrorCode >= 400)):
		code := e.ErrorCode
		if code == 0 {
			code = status
		}
		return "", &answerError{code: code, text: e.Error}
	case status < 200 || status > 299:
		return "", &answerError{code: status}
	case err != nil:
		return "", fmt.Errorf("%w: the answer is no complete JSON: %w", sources.ErrUnreachable, err)
	case e.Type == "sync":
		return "", nil
	case e.Type == "async" && e.Operation != "":
		return e.Operation, nil
	}
	return "", fmt.Errorf("%w: the answer is of type %q, want sync or async: is this Incus or LXD?", sources.ErrUnreachable, e.Type)
}

// operation is what GET /1.0/operations/ID/wait returns.
type operation struct {
	StatusCode int    `json:"status_code"` // 1xx: goes on, 200: done, 4xx: failed or cancelled
	Err        string `json:"err"`
}

// wait waits for an operation to end. Whatever keeps it from knowing how it
// ended is ErrUnreachable: the change may have been made.
func (c *client) wait(ctx context.Context, uri, project string) error {
	path, _, _ := strings.Cut(uri, "?")
	id, ok := strings.CutPrefix(path, at("operations")+"/")
	if !ok || strings.Contains(id, "/") {
		return fmt.Errorf("%w: %q is no operation", sources.ErrUnreachable, uri)
	}
	query := url.Values{"project": {project}, "timeout": {strconv.Itoa(operationSeconds)}}
	for range maxWaits {
		var o operation
		err := c.get(ctx, at("operations", id, "wait"), query, &o)
		switch {
		case err != nil && ctx.Err() != nil, errors.Is(err, sources.ErrUnreachable):
			return err
		case err != nil:
			return fmt.Errorf("%w: how the operation ended is not known: %s", sources.ErrUnreachable, err)
		case o.StatusCode == http.StatusOK:
			return nil
		case o.StatusCode >= 400 && o.Err != "":
			return &answerError{code: http.StatusInternalServerError, text: o.Err}
		case o.StatusCode >= 400:
			return fmt.Errorf("%w: the operation ended with status %d", sources.ErrUnreachable, o.StatusCode)
		}
	}
	return fmt.Errorf("%w: the operation %s does not end", sources.ErrUnreachable, id)
}

// changedMeanwhile reports that the condition of a write did not hold: somebody
// else has changed the thing since it was read.
func changedMeanwhile(err error) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && e.code == http.StatusPreconditionFailed
}

// exists reports a 409: what was to be made is there.
func exists(err error) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && e.code == http.StatusConflict
}

// lost reports that it is not known whether a write was carried out.
func lost(err error) bool { return errors.Is(err, sources.ErrUnreachable) }

// refused makes the error of what cannot be, as things are.
func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", sources.ErrRefused, fmt.Sprintf(format, args...))
}

// settled gives every error of a Desk one of the causes that are promised: what
// the server answers and is neither denial nor trouble is a refusal.
func settled(err error) error {
	for _, known := range []error{
		sources.ErrRefused, sources.ErrNoChoice, sources.ErrDenied, sources.ErrUnreachable,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	if _, ok := errors.AsType[*answerError](err); ok {
		return fmt.Errorf("%w: %w", sources.ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", sources.ErrUnreachable, err)
}
