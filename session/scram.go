package session

import (
	"encoding/binary"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/stringprep"
	"golang.org/x/text/secure/precis"
)

var errPassword = &localError{"session: PostgreSQL takes this password as it is (SASLprep, RFC 4013, refuses it), " +
	"and pgx would change it: use one in Unicode's form NFC, with no spaces but the ordinary one"}

// scramPassword is a password as libpq and the server use it for SCRAM
// (pg_saslprep of PostgreSQL's src/common/saslprep.c): after SASLprep, or as it is
// where that refuses it. pgx follows another profile, RFC 8265, which leaves what
// this returns as it is; where it doesn't, there is no way past it.
func scramPassword(password string) (string, error) {
	spaces := func(r rune) rune {
		if stringprep.TableC1_2.Contains(r) {
			return ' '
		}
		return r
	}
	prepared, err := stringprep.SASLprep.Prepare(strings.Map(spaces, password))
	if err == nil && prepared != "" {
		return prepared, nil
	}
	if strings.ContainsFunc(password, stringprep.TableA1.Contains) { // pgx looks for these too
		return password, nil
	}
	if changed, err := precis.OpaqueString.String(password); err == nil && changed != password {
		return "", errPassword
	}
	return password, nil
}

// frontend has SCRAM use the password of [scramPassword]. Whether the server wants
// SCRAM, or the password itself, is known from its first message only.
func (a *attempt) frontend(r io.Reader, w io.Writer) *pgproto3.Frontend {
	return a.given.BuildFrontend(&firstMessage{Reader: r, saw: func(message []byte) (err error) {
		const authentication, sasl = 'R', 10
		if message[0] == authentication && binary.BigEndian.Uint32(message[5:]) == sasl {
			a.config.Password, err = scramPassword(a.given.Password)
		}
		return err
	}}, w)
}

// firstMessage hands on what it reads, and looks at the start of the first message
// of an authentication: its letter, its length, its kind. Before it there may be a
// NegotiateProtocolVersion, which is passed over.
type firstMessage struct {
	io.Reader
	saw  func(message []byte) error // nil once it was called
	head []byte
}

func (f *firstMessage) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if f.saw == nil {
		return n, err
	}
	f.head = append(f.head, p[:n]...)
	for len(f.head) >= 9 && f.head[0] == 'v' {
		size := 1 + uint64(binary.BigEndian.Uint32(f.head[1:]))
		if uint64(len(f.head)) < size {
			return n, err
		}
		f.head = f.head[size:]
	}
	if len(f.head) >= 9 {
		failed := f.saw(f.head)
		f.saw, f.head = nil, nil
		if failed != nil {
			return 0, failed
		}
	}
	return n, err
}
