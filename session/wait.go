package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// WithWait waits up to limit for the server to answer a first statement, for a
// service that may start before its database, also where a PgBouncer is between
// them. It tries with a connection of its own, at growing intervals with jitter,
// and is over with the first success. A refusal that waiting can't change, such as
// of the password, fails at once. [slog.Default] gets a line when the wait begins,
// each half minute, and when it ends well.
func WithWait(limit time.Duration) Option {
	return func(c *pgxpool.Config) error {
		turn := make(chan struct{}, 1) // one waits, the others for that one
		answered := false
		before := c.BeforeConnect
		c.BeforeConnect = func(ctx context.Context, config *pgx.ConnConfig) error {
			if before != nil {
				if err := before(ctx, config); err != nil {
					return err
				}
			}
			select {
			case turn <- struct{}{}:
				defer func() { <-turn }()
			case <-ctx.Done():
				return ctx.Err()
			}
			if answered {
				return nil
			}
			err := waitForServer(ctx, config, limit)
			answered = err == nil
			return err
		}
		return nil
	}
}

func waitForServer(ctx context.Context, config *pgx.ConnConfig, limit time.Duration) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	trying, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	wait := waiting{what: "the database's answer", limit: limit}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := tryServer(trying, config)
		if err == nil {
			wait.end(ctx)
			return nil
		}
		if ctx.Err() != nil || !worthWaiting(err) {
			return err
		}
		wait.on(ctx, err)
		select {
		case <-over.C:
			return fmt.Errorf("after waiting %s: %w", limit, err)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// tryServer sends a statement too: PgBouncer lets a client in while its server is
// down, and the first statement is what fails.
func tryServer(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(ctx), conn.Close(ctx))
}

// waiting tells the log of a wait.
type waiting struct {
	what        string
	limit       time.Duration
	since, said time.Time
}

const sayAgain = 30 * time.Second

func (w *waiting) on(ctx context.Context, reason error) {
	now := time.Now()
	if w.since.IsZero() {
		w.since = now
	}
	if w.said.IsZero() || now.Sub(w.said) >= sayAgain {
		w.said = now
		slog.InfoContext(ctx, "session: waiting for "+w.what, "waited", now.Sub(w.since).Round(time.Millisecond),
			"limit", w.limit, "reason", reason)
	}
}

func (w *waiting) end(ctx context.Context) {
	if !w.since.IsZero() {
		slog.InfoContext(ctx, "session: the wait for "+w.what+" is over", "waited", time.Since(w.since).Round(time.Millisecond))
	}
}

var (
	// pooler is what PgBouncer says, always with 08P01, where its own server can't be
	// had just now, or what that server said.
	pooler = regexp.MustCompile(`server_login_retry|server login has been failing|cannot connect|connect failed|` +
		`server conn crashed|server DNS lookup failed|query_wait_timeout|client_login_timeout|no more connections allowed|` +
		`starting up|shutting down|not yet accepting|too many (clients|connections)|connection slots`)
	// poolerForGood is what it says of the request; it may quote that as the reason
	// why its logins fail.
	poolerForGood = regexp.MustCompile(`authentication failed|does not exist|no pg_hba\.conf entry|pg_hba\.conf rejects`)
)

// worthWaiting is false for what the server says of the request rather than of
// its own state (PostgreSQL's manual, appendix A), and for what is wrong here.
func worthWaiting(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		if server.Code == "08P01" {
			return pooler.MatchString(server.Message) && !poolerForGood.MatchString(server.Message)
		}
		return strings.HasPrefix(server.Code, "57P") || strings.HasPrefix(server.Code, "53")
	}
	var local *localError
	var certificate *tls.CertificateVerificationError
	return !errors.As(err, &local) && !errors.As(err, &certificate)
}
