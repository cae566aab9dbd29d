package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Open connects to the database that [EnvURL] names, or else the project of
// [WithProject], waits for its answer to a ping, and returns the pool. The caller
// closes it. ctx bounds Open alone, not the pool.
func Open(ctx context.Context, opts ...Option) (*pgxpool.Pool, error) {
	config, err := ConfigFromEnv()
	if errors.Is(err, ErrNoURL) {
		config, opts, err = fromOptions(opts)
	}
	if err != nil {
		return nil, err
	}
	return open(ctx, config, opts)
}

// OpenURL is [Open] for a URL from elsewhere.
func OpenURL(ctx context.Context, url string, opts ...Option) (*pgxpool.Pool, error) {
	config, err := ParseURL(url)
	if err != nil {
		return nil, err
	}
	return open(ctx, config, opts)
}

func open(ctx context.Context, config *pgxpool.Config, opts []Option) (*pgxpool.Pool, error) {
	for _, option := range opts {
		if err := option(config); err != nil {
			return nil, err
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	if err := ping(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}
