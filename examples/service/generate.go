package main

// What the service knows of the shop's database: the history that it compares the
// database with, and its queries, typed by the schema that the revisions make. This
// needs reflex on PATH and the shop's environment, but no database, and Go's module
// proxy. Without cgo, sqlc has its PostgreSQL parser as WebAssembly, and builds in a
// minute.

//go:generate sh -c "reflex -C ../shop db history --json >schema.json"
//go:generate sh -c "REFLEX_DB_URL=postgresql+psycopg:// reflex -C ../shop db upgrade head --sql >schema.sql"
//go:generate env CGO_ENABLED=0 go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate
