package session

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
	"github.com/jackc/pgx/v5/pgxpool"
)

// nowhere is the host of a configuration that has no URL yet.
const nowhere = "no database URL"

var errProjectFirst = errors.New("session: WithProject must be the first option")

// WithProject has [Open] take the URL from a project of Python, where [EnvURL] is
// unset or blank: db_url of the table [tool.reflex] in dir/pyproject.toml, as
// `reflex db` and reflex_orm read it. A file or a table that isn't there is
// [ErrNoURL]. A password in that file, which others may read in a repository, gets a
// line of warning in [slog.Default].
//
// It must be the first option. [OpenURL] has its URL, so there it does nothing.
func WithProject(dir string) Option {
	return func(c *pgxpool.Config) error {
		if c.ConnConfig.Host != nowhere {
			return nil
		}
		file := filepath.Join(dir, "pyproject.toml")
		url, err := projectURL(file)
		if err != nil {
			return err
		}
		if url = trim(url); url == "" {
			return fmt.Errorf("%w, or as db_url in [tool.reflex] of %s", ErrNoURL, file)
		}
		t, err := readURL(url)
		if err != nil {
			return fmt.Errorf("%w (db_url in %s)", err, file)
		}
		if t.password != "" || t.keywords["sslpassword"] != "" {
			slog.Warn("session: a password stands in the project's file, for all who read the repository: give the URL in "+
				EnvURL+", or the password in PGPASSWORD or .pgpass", "file", file)
		}
		config, err := t.config()
		if err != nil {
			return fmt.Errorf("%w (db_url in %s)", err, file)
		}
		*c = *config
		return nil
	}
}

// fromOptions is the configuration of the option that has a URL, and the options
// after it.
func fromOptions(opts []Option) (*pgxpool.Config, []Option, error) {
	config, err := emptyConfig(nowhere)
	if err != nil {
		return nil, nil, err
	}
	for i, option := range opts {
		if err := option(config); err != nil {
			return nil, nil, err
		}
		switch {
		case config.ConnConfig.Host == nowhere:
		case i > 0:
			return nil, nil, errProjectFirst
		default:
			return config, opts[1:], nil
		}
	}
	return nil, nil, ErrNoURL
}

// projectURL is db_url in the file, or "". Its errors hold nothing of the file but
// lines and names: a piece of the URL may be anywhere in one that is wrong.
func projectURL(file string) (string, error) {
	var document map[string]any
	_, err := toml.DecodeFile(file, &document)
	var syntax toml.ParseError
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	case errors.As(err, &syntax):
		return "", fmt.Errorf("session: %s is not TOML: see its line %d", file, syntax.Position.Line)
	case err != nil:
		return "", fmt.Errorf("session: %w", err)
	}
	tool, _ := document["tool"].(map[string]any)
	reflex, _ := tool["reflex"].(map[string]any)
	url, isText := reflex["db_url"].(string)
	if _, given := reflex["db_url"]; given && !isText {
		return "", fmt.Errorf("session: db_url in [tool.reflex] of %s is not a text", file)
	}
	return url, nil
}
