package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// arguments are what was typed, which need not be UTF-8: names of files are not.
type arguments []string

// MarshalJSON writes each byte that is no UTF-8 as the surrogate that Python has
// for it in sys.argv (PEP 383).
func (a arguments) MarshalJSON() ([]byte, error) {
	quoted := make([]string, len(a))
	for i, arg := range a {
		var b strings.Builder
		b.WriteByte('"')
		for arg != "" {
			r, size := utf8.DecodeRuneInString(arg)
			if r == utf8.RuneError && size == 1 {
				fmt.Fprintf(&b, `\udc%02x`, arg[0])
			} else {
				valid, err := json.Marshal(arg[:size])
				if err != nil {
					return nil, err
				}
				b.Write(valid[1 : len(valid)-1])
			}
			arg = arg[size:]
		}
		b.WriteByte('"')
		quoted[i] = b.String()
	}
	return []byte("[" + strings.Join(quoted, ",") + "]"), nil
}
