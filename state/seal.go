package state

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf8"
)

// A value in the file: how it is written (one byte), a checksum over its
// bucket, its key and all the rest (four bytes), and JSON. bbolt itself would
// hand out whatever the disk made of it.
const (
	plainJSON   = 'j'
	deflateJSON = 'z'

	sealLength = 5

	// squeezeFrom is the size in bytes from which compressing pays: below, what
	// a compressor needs to begin is more than the value.
	squeezeFrom = 16 << 10

	// maxValue bounds the JSON of one value, in bytes: what is written, and
	// what is unpacked.
	maxValue = 256 << 20
)

// seal encodes a value for its place.
func seal(bucket, key string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return sealText(bucket, key, text)
}

// sealText seals JSON that is there already.
func sealText(bucket, key string, text []byte) ([]byte, error) {
	if len(text) > maxValue {
		return nil, fmt.Errorf("%d bytes are too many, at most %d can be kept", len(text), maxValue)
	}
	var out bytes.Buffer
	out.Write(make([]byte, sealLength))
	format := byte(plainJSON)
	if len(text) < squeezeFrom {
		out.Write(text)
	} else {
		format = deflateJSON
		w, err := flate.NewWriter(&out, flate.BestSpeed)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(text); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
	}
	sealed := out.Bytes()
	sealed[0] = format
	binary.BigEndian.PutUint32(sealed[1:], checksum(bucket, key, sealed))
	return sealed, nil
}

// sound reports whether a value is the one that was sealed for its place.
func sound(bucket, key string, sealed []byte) bool {
	return len(sealed) >= sealLength && binary.BigEndian.Uint32(sealed[1:]) == checksum(bucket, key, sealed)
}

func checksum(bucket, key string, sealed []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, []byte(bucket+"\x00"+key+"\x00"))
	sum = crc32.Update(sum, table, sealed[:1])
	return crc32.Update(sum, table, sealed[sealLength:])
}

// unseal decodes a value into v. Fields that v lacks are passed over: a later
// version may have written them.
func unseal(bucket, key string, sealed []byte, v any) error {
	if !sound(bucket, key, sealed) {
		return fmt.Errorf("%w: checksum of %s %q", errBroken, bucket, key)
	}
	payload := sealed[sealLength:]
	switch sealed[0] {
	case plainJSON:
	case deflateJSON:
		text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(payload)), maxValue+1))
		if err != nil {
			return fmt.Errorf("unpack %s %q: %w", bucket, key, err)
		}
		if len(text) > maxValue {
			return fmt.Errorf("unpack %s %q: more than %d bytes", bucket, key, maxValue)
		}
		payload = text
	default:
		return fmt.Errorf("decode %s %q: unknown format %q", bucket, key, sealed[0])
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("decode %s %q: %w", bucket, key, err)
	}
	return nil
}

// clip cuts text to at most n bytes, at a character's edge.
func clip(text string, n int) string {
	if len(text) <= n {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return strings.ToValidUTF8(text[:n], "\uFFFD") + "…"
}

// clipLines keeps the first n lines, each of at most width bytes. Where there
// were more, the last one says how many are left out.
func clipLines(lines []string, n, width int) []string {
	if lines == nil {
		return nil
	}
	kept := lines
	if len(lines) > n {
		kept = lines[:n-1]
	}
	out := make([]string, 0, min(len(lines), n))
	for _, line := range kept {
		out = append(out, clip(line, width))
	}
	if left := len(lines) - len(kept); left > 0 {
		out = append(out, fmt.Sprintf("… and %d more", left))
	}
	return out
}
