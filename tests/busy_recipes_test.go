package tests

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// The revisions of docs/busy.md do what the page says, and keep nobody waiting.
func TestBusyRecipes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(venv.Root(), "docs", "busy.md"))
	if err != nil {
		t.Fatal(err)
	}
	server := pgtest.Shared(t)
	p := newProjectOn(t, t.TempDir(), withDriver(server.NewDatabase(t), drivers[2]))
	p.revise(t, `op.execute("CREATE TABLE customers (id int PRIMARY KEY)")
op.execute("INSERT INTO customers VALUES (1)")
op.execute("CREATE TABLE orders (id serial PRIMARY KEY, customer int, price numeric)")
op.execute("INSERT INTO orders (customer, price) SELECT 1, i FROM generate_series(1, 5000) i")`)
	p.succeed(t, "upgrade", "head")
	blocks := regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 8 {
		t.Fatalf("%d revisions are there", len(blocks))
	}
	for _, block := range blocks {
		p.revise(t, block[1])
	}
	ctx, cancel := context.WithCancel(context.Background())
	var at sync.WaitGroup
	for _, sql := range []string{"SELECT count(*) FROM orders", "UPDATE orders SET price = price WHERE id = 7"} {
		conn := server.Connect(t, p.database())
		at.Go(func() {
			for ctx.Err() == nil {
				if _, err := conn.Exec(context.Background(), sql); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	p.succeed(t, "upgrade", "head", "--polite", "1s") // which ends with 6 if anybody waits
	cancel()
	at.Wait()
	p.wantRan(t, 9)
	got := p.query(t, `SELECT concat_ws(' ', (SELECT count(*) FROM orders WHERE total IS NULL),
		(SELECT attnotnull FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'total'),
		(SELECT convalidated FROM pg_constraint WHERE conname = 'of_customer'),
		(SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_total'::regclass))`)
	if got[0] != "0 t t t" {
		t.Errorf("rows to fill, NOT NULL, foreign key, index: %s", got[0])
	}

	// if_not_exists passes over an invalid index; the recipe makes it anew.
	p.exec(t, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_total'::regclass")
	valid := "SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'by_total'::regclass"
	p.revise(t, `with op.get_context().autocommit_block():
    op.create_index("by_total", "orders", ["total"], postgresql_concurrently=True, if_not_exists=True)`)
	p.succeed(t, "upgrade", "head")
	if p.query(t, valid)[0] != "false" {
		t.Error("if_not_exists has made the index anew")
	}
	p.revise(t, blocks[7][1])
	p.succeed(t, "upgrade", "head")
	if p.query(t, valid)[0] != "true" {
		t.Error("the recipe leaves an invalid index")
	}
}
