package decode

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Charsets are the values of Config.Charset.
var Charsets = [...]string{"utf-8", "latin1", "utf-16"}

// charsetOf returns what turns payloads into UTF-8, or nil where they are UTF-8.
func charsetOf(name, format string) (func(dst, src []byte) ([]byte, string), error) {
	switch format {
	case "", "json", "value", "csv", "line":
	default:
		if name != "" && name != "utf-8" {
			return nil, fmt.Errorf("charset: a payload in %s is not a text", format)
		}
		return nil, nil
	}
	switch name {
	case "", "utf-8":
		return nil, nil
	case "latin1":
		return latin1, nil
	case "utf-16":
		return utf16le, nil
	}
	return nil, fmt.Errorf("unknown charset %q; there are utf-8, latin1 and utf-16", name)
}

// latin1 reads ISO 8859-1.
func latin1(dst, src []byte) ([]byte, string) {
	for _, c := range src {
		dst = utf8.AppendRune(dst, rune(c))
	}
	return dst, ""
}

// utf16le reads UTF-16, little-endian unless a byte order mark says otherwise.
func utf16le(dst, src []byte) ([]byte, string) {
	if len(src)%2 != 0 {
		return dst, "not UTF-16: an odd number of bytes"
	}
	low, high := 0, 1
	switch {
	case bytes.HasPrefix(src, []byte{0xff, 0xfe}):
		src = src[2:]
	case bytes.HasPrefix(src, []byte{0xfe, 0xff}):
		src, low, high = src[2:], 1, 0
	}
	at := func(i int) rune {
		if i >= len(src) {
			return 0
		}
		return rune(src[i+low]) | rune(src[i+high])<<8
	}
	for i := 0; i < len(src); i += 2 {
		r := at(i)
		if utf16.IsSurrogate(r) {
			if r = utf16.DecodeRune(r, at(i+2)); r == utf8.RuneError {
				return dst, fmt.Sprintf("not UTF-16: half of a surrogate pair at byte %d", i)
			}
			i += 2
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, ""
}
