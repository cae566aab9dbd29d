package sessiontest

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reflex-dev/reflex-orm/session"
)

// A server is PostgreSQL, as one process of tests uses it until it ends.
//
// Who uses what is told by advisory locks of one connection, which are gone with the
// process: one for the prefix of its clones, and a shared one for each template that
// it clones. What nobody holds the lock of may be dropped. Advisory locks are of one
// database (https://www.postgresql.org/docs/current/explicit-locking.html), and one
// role can't use what another one made, so the oids of both are in all names.
type server struct {
	url    string
	pool   *pgxpool.Pool // for CREATE and DROP DATABASE
	names  string        // what the names of all databases made here start with
	prefix string        // and of the clones of this process
	clones atomic.Int64

	mu        sync.Mutex // for all below
	holder    *pgx.Conn
	templates map[string]func() (string, error)
}

var servers struct {
	sync.Mutex
	at map[string]*server
}

// serverAt connects once to each server.
func serverAt(url string) (*server, error) {
	servers.Lock()
	defer servers.Unlock()
	if s, ok := servers.at[url]; ok {
		return s, nil
	}
	s, err := newServer(context.Background(), url)
	if err != nil {
		return nil, err
	}
	if servers.at == nil {
		servers.at = map[string]*server{}
	}
	servers.at[url] = s
	return s, nil
}

func newServer(ctx context.Context, url string) (*server, error) {
	pool, err := session.OpenURL(ctx, url, session.WithMaxConns(5))
	if err != nil {
		return nil, err
	}
	s := &server{url: url, pool: pool, templates: map[string]func() (string, error){}}
	if err := s.begin(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

func (s *server) begin(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	s.holder = conn.Hijack()
	var database, role uint32
	if err := s.holder.QueryRow(ctx, `SELECT d.oid, r.oid FROM pg_database d, pg_roles r
		WHERE datname = current_database() AND rolname = current_user`).Scan(&database, &role); err != nil {
		return err
	}
	s.names = fmt.Sprintf("reflex_test_%d_%d_", database, role)
	s.prefix = s.names + strings.ToLower(rand.Text()[:8]) + "_"
	if err := s.lock(ctx, "pg_advisory_lock", s.prefix); err != nil {
		return err
	}
	return s.dropClones(ctx)
}

// lock calls one of PostgreSQL's functions for advisory locks.
func (s *server) lock(ctx context.Context, function, name string) error {
	_, err := s.holder.Exec(ctx, "SELECT "+function+"($1)", key(name))
	return err
}

func key(name string) int64 {
	sum := fnv.New64a()
	sum.Write([]byte(name))
	return int64(sum.Sum64())
}

// unused calls f if nobody holds the lock of a name.
func (s *server) unused(ctx context.Context, name string, f func() error) error {
	var ours bool
	if err := s.holder.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", key(name)).Scan(&ours); err != nil || !ours {
		return err
	}
	err := f()
	if failed := s.lock(ctx, "pg_advisory_unlock", name); err == nil {
		err = failed
	}
	return err
}

// list is the databases made here that a condition holds for.
func (s *server) list(ctx context.Context, condition string, args ...any) ([]string, error) {
	rows, err := s.holder.Query(ctx, "SELECT datname FROM pg_database d WHERE starts_with(datname, $1) AND "+condition,
		append([]any{s.names}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// dropClones drops what killed processes left.
func (s *server) dropClones(ctx context.Context) error {
	clones, err := s.list(ctx, "NOT datistemplate AND NOT starts_with(datname, $2)", s.names+"template_")
	if err != nil {
		return err
	}
	for _, clone := range clones {
		prefix := clone[:strings.LastIndexByte(clone, '_')+1]
		if prefix == s.prefix {
			continue
		}
		if err := s.unused(ctx, prefix, func() error { return s.drop(ctx, clone) }); err != nil {
			return err
		}
	}
	return nil
}

// dropTemplates drops those of earlier states of a project, whole or not.
func (s *server) dropTemplates(ctx context.Context, project, current string) error {
	templates, err := s.list(ctx, "datname <> $2 AND shobj_description(d.oid, 'pg_database') = $3",
		current, project)
	if err != nil {
		return err
	}
	for _, template := range templates {
		if err := s.unused(ctx, template, func() error {
			if _, err := s.pool.Exec(ctx, "ALTER DATABASE "+quoted(template)+" WITH IS_TEMPLATE false"); err != nil {
				return err
			}
			return s.drop(ctx, template)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) drop(ctx context.Context, database string) error {
	_, err := s.pool.Exec(ctx, "DROP DATABASE IF EXISTS "+quoted(database)+" WITH (FORCE)")
	return err
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// clone makes a database out of a template.
func (s *server) clone(ctx context.Context, template string) (url string, drop func() error, err error) {
	name := fmt.Sprint(s.prefix, s.clones.Add(1))
	if url, err = withDatabase(s.url, name); err != nil {
		return "", nil, err
	}
	if _, err := s.pool.Exec(ctx, "CREATE DATABASE "+quoted(name)+" TEMPLATE "+quoted(template)); err != nil {
		return "", nil, fmt.Errorf("cloning the template: %w", err)
	}
	return url, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return s.drop(ctx, name)
	}, nil
}

// filled is the name of a project's template, which is filled if it is not there. It
// is looked for once in a process, and what failed once isn't tried again.
func (s *server) filled(t *Template) (string, error) {
	key := fmt.Sprintf("%q", []any{t.dir, t.command, t.target, t.reads})
	s.mu.Lock()
	get, ok := s.templates[key]
	if !ok {
		get = sync.OnceValues(func() (string, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.ensure(context.Background(), t)
		})
		s.templates[key] = get
	}
	s.mu.Unlock()
	return get()
}

// ensure keeps a shared lock on the template until the process ends. It is filled
// under an exclusive one.
func (s *server) ensure(ctx context.Context, t *Template) (string, error) {
	state, err := t.state()
	if err != nil {
		return "", err
	}
	name := s.names + "template_" + state
	if err := s.lock(ctx, "pg_advisory_lock_shared", name); err != nil {
		return "", err
	}
	if ready, err := s.ready(ctx, name); ready || err != nil {
		return name, err
	}
	if err := s.lock(ctx, "pg_advisory_unlock_shared", name); err != nil {
		return "", err
	}
	if err := s.lock(ctx, "pg_advisory_lock", name); err != nil {
		return "", err
	}
	ready, err := s.ready(ctx, name)
	if err == nil && !ready {
		if err = s.fill(ctx, t, name); err == nil {
			err = s.dropTemplates(ctx, t.dir, name)
		}
	}
	if err == nil {
		err = s.lock(ctx, "pg_advisory_lock_shared", name)
	}
	if failed := s.lock(ctx, "pg_advisory_unlock", name); err == nil {
		err = failed
	}
	return name, err
}

// ready is whether a template is there, and whole.
func (s *server) ready(ctx context.Context, name string) (ready bool, err error) {
	err = s.holder.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)", name).Scan(&ready)
	return ready, err
}

// fill makes a template. It becomes one when it is whole: what is there before is
// what a killed process left.
func (s *server) fill(ctx context.Context, t *Template, name string) (err error) {
	url, err := withDatabase(s.url, name)
	if err != nil {
		return err
	}
	if err := s.drop(ctx, name); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.drop(ctx, name)
		}
	}()
	for _, sql := range []string{
		"CREATE DATABASE " + quoted(name),
		"COMMENT ON DATABASE " + quoted(name) + " IS '" + strings.ReplaceAll(t.dir, "'", "''") + "'",
	} {
		if _, err := s.pool.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := t.upgrade(url); err != nil {
		return err
	}
	if err := holdsTables(ctx, url); err != nil {
		return fmt.Errorf("%w: %s db upgrade %s in %s", err, t.command, t.target, t.dir)
	}
	_, err = s.pool.Exec(ctx, "ALTER DATABASE "+quoted(name)+" WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
	return err
}

// upgrade runs reflex on the template alone: no other URL of ours is left to it.
func (t *Template) upgrade(url string) error {
	cmd := exec.Command(t.command, "db", "upgrade", t.target)
	cmd.Dir = t.dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "REFLEX_ASYNC_DB_URL=") || strings.HasPrefix(variable, "REFLEX_DB_LOCK_URL=")
	})
	cmd.Env = append(cmd.Env, session.EnvURL+"="+url)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s in %s: %w\n%s", strings.Join(cmd.Args, " "), t.dir, err, output)
	}
	return nil
}

// holdsTables fails where env.py has migrated some other database.
func holdsTables(ctx context.Context, url string) error {
	pool, err := session.OpenURL(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	var some bool
	err = pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema'))`).Scan(&some)
	if err == nil && !some {
		return fmt.Errorf("the upgrade left the database of %s empty: does env.py connect elsewhere?", session.EnvURL)
	}
	return err
}

// urlParts is a SQLAlchemy URL up to its database, and from its query on.
var urlParts = regexp.MustCompile(`^(?s)([^:]+://(?:[^:/]*(?::[^@]*)?@)?[^/?]*)(?:/[^?]*)?(\?.*)?$`)

// withDatabase is the URL of another database of the same server.
func withDatabase(url, database string) (string, error) {
	parts := urlParts.FindStringSubmatch(url)
	if parts == nil {
		return "", fmt.Errorf("%s is not a URL", EnvURL)
	}
	url = parts[1] + "/" + database + parts[2]
	config, err := session.ParseURL(url)
	if err == nil && config.ConnConfig.Database != database {
		err = fmt.Errorf("%s names its database in a parameter: write it after the host", EnvURL)
	}
	return url, err
}
