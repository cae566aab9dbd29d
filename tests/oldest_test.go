package tests

import (
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// The oldest Alembic that the command works with, on SQLAlchemy 1.4, which it supports.
func TestOldestAlembic(t *testing.T) {
	t.Parallel()
	python := venv.Interpreters(t)[0]
	if python.Minor() >= "3.13" { // of which its drivers' old releases know nothing
		t.Skipf("SQLAlchemy 1.4 needs Python 3.12 or older, and the oldest here is %s", python.Version)
	}
	env := venv.Get(t, python,
		"alembic==1.16.5", "sqlalchemy[asyncio]==1.4.54", "psycopg2-binary", "aiosqlite", "asyncpg<0.30")
	for _, driver := range []string{"sqlite", "sqlite+aiosqlite", "postgresql+psycopg2", "postgresql+asyncpg"} {
		t.Run(driver, func(t *testing.T) { runScripts(t, reflexDir(t), "oldest", env, driver) })
	}
}
