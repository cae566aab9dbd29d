package session

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// explain says in a sentence what a server that runs has refused, by its SQLSTATE
// (PostgreSQL's manual, appendix A). pyshim/reflex_driver/refusal.py does it for the
// command.
func explain(err error, config *pgx.ConnConfig) error {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return fmt.Errorf("session: the database does not answer: %w", err)
	}
	switch server.Code {
	case "3D000":
		return fmt.Errorf("session: there is no database %s: create it (createdb %[1]s), or mend its name in the URL: %w", config.Database, err)
	case "28P01":
		return fmt.Errorf("session: the password for %s was refused: %w", config.User, err)
	}
	return fmt.Errorf("session: the server refused the connection: %w", err)
}
