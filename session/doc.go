// Package session opens pgx connection pools on the database that REFLEX_DB_URL
// names, for Go services that stand beside a Python application.
//
//	pool, err := session.Open(ctx)
//	if err != nil {
//		return err
//	}
//	defer pool.Close()
//	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		_, err := tx.Exec(ctx, "UPDATE orders SET status = $1 WHERE id = $2", "PAID", 7)
//		return err
//	})
//
// The pool is a plain *pgxpool.Pool: there is no layer of ours around it.
//
// # The URL
//
// REFLEX_DB_URL is a SQLAlchemy URL, and it means here what it means there:
//
//	postgresql[+driver]://user:password@host:port/database?parameter=value
//
// It is split as SQLAlchemy 2.1 splits it (sqlalchemy/engine/url.py), and the
// parameters are read as the driver reads them: psycopg (the default), psycopg2,
// asyncpg or pg8000. So user, password, database and parameters are
// percent-decoded and the host is not; asyncpg takes ssl=require where psycopg
// takes sslmode=require; a part that is unset falls back to libpq's defaults, the
// PG* variables, .pgpass and service files for the drivers that read those.
//
// What a driver would do and pgx can't is an error that names the parameter, and
// never a different connection. The same holds for what SQLAlchemy itself would
// drop without a word, such as text after the brackets of an IPv6 address, and for
// hosts that it hands to the driver in a form that can't work: a percent-encoded
// socket directory, ?host=[::1]:5433, ?host=h1:5432,h2:5433, the file of a socket.
// Blanks and new lines around the URL are cut off.
// Parameters that only tune the Python client, such as prepare_threshold, are
// accepted and never sent to the server. As in pgx, one password serves all hosts.
// A server that is not what target_session_attrs asks for is not asked again without
// TLS, and SCRAM gets the password after SASLprep, as with libpq.
//
// Where the variable is unset or blank, [WithProject] names the directory of a Python
// project whose pyproject.toml has the URL:
//
//	[tool.reflex]
//	db_url = "postgresql+psycopg://app@localhost/shop"
//
// So an explicit URL ([OpenURL]) goes before REFLEX_DB_URL, and that before the file.
//
// # The schema
//
// Python migrates the database, and a service that needs a column of the newest
// revision had better know whether it is there. The service embeds the history of
// revisions as it was when it was built, and compares:
//
//	//go:generate sh -c "reflex -C ../shop db history --json >schema.json"
//	//go:embed schema.json
//	var schema []byte
//
//	history, err := session.ParseHistory(schema)
//	pool, err := session.Open(ctx, session.WithSchema(history, 2*time.Minute)) // waits, then fails
//	err = history.Check(ctx, pool)                                             // for a readiness probe
//
// A database that lacks revisions is a [*SchemaBehindError], which names them; one
// without a version table is [ErrNotMigrated]. A database at revisions that the
// history doesn't know is ahead, as it is for the old half of a rolling deployment:
// that is fine, [History.State] tells of it, and [RefuseAhead] makes it an error.
// [VersionTable] and [Branches] are for projects that use these in Alembic.
//
// What waits says so: [WithWait] and [WithSchema] write to [slog.Default] when a wait
// begins, each half minute, and when it ends well, at the level of information.
//
// # Secrets
//
// No error of this package holds the password or the whole URL, and neither do
// %v of a *pgxpool.Config or ConnString of the configuration in it. The password
// stands in ConnConfig.Password alone, where pgx needs it: don't print
// *ConnConfig itself. [Redact] makes a URL fit for a log.
//
// Files of secrets are held to libpq's rules: a .pgpass that others may read is
// ignored, and slog says so at the level of warnings; an sslkey that others may read
// fails every connection with TLS. An sslkey may be encrypted, in PKCS#8 too; then
// sslpassword opens it.
package session
