package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The keys of a request that are parameters too.
const (
	keySource  = "source"
	keyAddress = "address"
)

// maxTexts are the longest texts that a request may hold, in bytes, by key.
func maxTexts() map[string]int {
	return map[string]int{keySource: 200, "network": 2000, keyAddress: 100, "mac": 100, "nic": 100, "for": 2000, "name": 200}
}

// parseReservation reads the body of POST /v1/reservations: one JSON object with
// texts, of which the keys are known, written as they are here, and there once.
// Its errors repeat no word of the body but a key that it knows.
func parseReservation(body []byte) (ReservationRequest, error) {
	var wanted ReservationRequest
	into := map[string]*string{
		keySource: &wanted.Source, "network": &wanted.Network, keyAddress: &wanted.Address,
		"mac": &wanted.MAC, "nic": &wanted.NIC, "for": &wanted.For, "name": &wanted.Name,
	}
	if !utf8.Valid(body) {
		return ReservationRequest{}, errors.New("the body is not UTF-8")
	}
	if err := readTexts(body, into); err != nil {
		return ReservationRequest{}, err
	}
	switch {
	case wanted.Source == "":
		return ReservationRequest{}, errors.New("source is missing: the name of the source that is to hold the address")
	case wanted.Network == "" && wanted.Address == "":
		return ReservationRequest{}, errors.New("network is missing: a CIDR, a name, an ID or a URI; it may be left out with an address that only one network holds")
	}
	return wanted, nil
}

// readTexts fills in texts from a JSON object. encoding/json would take keys in
// any case, and the last of several.
func readTexts(body []byte, into map[string]*string) error {
	notJSON := errors.New("the body is not a JSON object; send for example {\"source\": \"maas\", \"network\": \"10.0.0.0/24\"}")
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return notJSON
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		key, isText := t.(string)
		if err != nil || !isText {
			return notJSON
		}
		text := into[key]
		switch {
		case text == nil:
			return errors.New("the body has a key that is not known; there are source, network, address, mac, for and name")
		case seen[key]:
			return fmt.Errorf("%s is there twice", key)
		}
		seen[key] = true
		if t, err = d.Token(); err != nil {
			return notJSON
		}
		if *text, isText = t.(string); !isText {
			return fmt.Errorf("%s is not a text", key)
		}
		if err := checkText(key, *text); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil { // the end of the object
		return notJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body has something behind its JSON object")
	}
	return nil
}

// checkText says what is wrong with a text of the caller's.
func checkText(key, text string) error {
	switch {
	case len(text) > maxTexts()[key]:
		return fmt.Errorf("%s is longer than %d bytes", key, maxTexts()[key])
	case !utf8.ValidString(text), strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%s has characters that cannot be printed", key)
	case strings.TrimSpace(text) != text:
		return fmt.Errorf("%s begins or ends with a space", key)
	}
	return nil
}
