package session

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// An attempt is one call of pgx.ConnectConfig, which tries one address after the
// other, with TLS and without. It keeps what libpq knows between two addresses and
// pgx forgets.
//
// pgx copies the configuration for each call, and reads the hooks of that copy
// anew for each address. So the first address puts the attempt into the copy, and a
// connection that is there takes it out again.
type attempt struct {
	config *pgconn.Config // pgx's copy
	given  pgconn.Config  // as it was

	notWanted map[string]bool // addresses whose server isn't what target_session_attrs asks for; true is with TLS
	preferred string          // the first address of them
}

func watchAttempts(conn *pgx.ConnConfig) { conn.AfterNetConnect = beginAttempt }

func beginAttempt(ctx context.Context, config *pgconn.Config, netConn net.Conn) (net.Conn, error) {
	a := &attempt{config: config, given: *config, notWanted: map[string]bool{}}
	config.AfterNetConnect, config.AfterConnect = a.connected, a.end
	if config.ValidateConnect != nil {
		config.ValidateConnect = a.validate
	}
	return a.connected(ctx, config, netConn)
}

func (a *attempt) end(ctx context.Context, conn *pgconn.PgConn) error {
	*a.config = a.given
	if a.given.AfterConnect == nil {
		return nil
	}
	return a.given.AfterConnect(ctx, conn)
}

var errAskedBefore = errors.New("its server isn't what target_session_attrs asks for, with TLS or without")

// connected refuses to ask a server again that was not wanted. pgx goes on to the
// same host without TLS (sslmode=prefer), or with it (allow), where libpq goes on to
// the next host: so the password would travel, and the session be, in clear text.
func (a *attempt) connected(_ context.Context, _ *pgconn.Config, netConn net.Conn) (net.Conn, error) {
	a.config.Password = a.given.Password
	if prepared, err := scramPassword(a.given.Password); err != nil || prepared != a.given.Password {
		a.config.BuildFrontend = a.frontend
	}
	_, withTLS := netConn.(*tls.Conn)
	if before, asked := a.notWanted[netConn.RemoteAddr().String()]; asked && before != withTLS {
		return netConn, errAskedBefore
	}
	return netConn, nil
}

// validate remembers the servers that are not wanted. Where prefer-standby finds no
// standby, pgx takes the last of them, and libpq (with psycopg) the first.
func (a *attempt) validate(ctx context.Context, conn *pgconn.PgConn) error {
	err := a.given.ValidateConnect(ctx, conn)
	if !isNotWanted(err) {
		return err
	}
	address := conn.Conn().RemoteAddr().String()
	_, a.notWanted[address] = conn.Conn().(*tls.Conn)
	var notPreferred *pgconn.NotPreferredError
	if errors.As(err, &notPreferred) {
		if a.preferred == "" {
			a.preferred = address
		}
		if a.preferred != address {
			return errors.Unwrap(notPreferred)
		}
	}
	return err
}

// isNotWanted is the server's kind, and no failure to ask for it.
func isNotWanted(err error) bool {
	for _, kind := range []error{
		pgconn.ErrReadOnlyConnection, pgconn.ErrReadWriteConnection, pgconn.ErrPrimaryConnection, pgconn.ErrStandbyConnection,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
