package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/sinks"
	"millrace.dev/millrace/sinks/sinktest"
)

// table returns a batch of a row for each id, with values in the order of fields.
func table(fields pipeline.Schema, rows ...[]any) *pipeline.Batch {
	b := pipeline.NewBatch(fields, nil)
	for i, values := range rows {
		b.AppendRow(pipeline.Row{Time: sinktest.Begin + int64(i)*1000, Offset: uint64(i)})
		for k, v := range values {
			switch c := &b.Columns[k]; v := v.(type) {
			case nil:
				c.AppendNull()
			case float64:
				c.AppendFloat(v)
			case int:
				c.AppendInt(int64(v))
			case bool:
				c.AppendBool(v)
			case string:
				c.AppendText([]byte(v))
			}
		}
	}
	return b
}

func texts(rows [][]byte) []string {
	var all []string
	for _, r := range rows {
		all = append(all, string(r))
	}
	return all
}

var (
	id      = pipeline.Field{Name: "id", Kind: pipeline.Text}
	value   = pipeline.Field{Name: "v", Kind: pipeline.Float}
	whole   = pipeline.Field{Name: "n", Kind: pipeline.Int}
	truth   = pipeline.Field{Name: "on", Kind: pipeline.Bool}
	content = pipeline.Field{Name: "raw", Kind: pipeline.Bytes}
)

func TestPostgres(t *testing.T) {
	s := sinktest.StartPostgres(t) // one for all; each test has tables of its own
	for _, c := range []struct {
		claim string
		test  func(t *testing.T, s *sinktest.Server)
	}{
		{"it survives", postgresSurvives},
		{"it creates the table and its columns", creates},
		{"a new table becomes a hypertable where TimescaleDB is", hypertable},
		{"a table may have types of its own", ownTypes},
		{"rows that cannot be in the table are refused beforehand", beforehand},
		{"of rows with the same key the last is there", sameKey},
		{"it says what is wrong with the configuration", mistakes},
		{"every row is there once, whatever goes wrong", everyRow},
	} {
		t.Run(c.claim, func(t *testing.T) { c.test(t, s) })
	}
}

func creates(t *testing.T, s *sinktest.Server) {
	query(t, s.URL, `CREATE SCHEMA "Plant One"`)
	sink := openPostgres(t, sinks.PostgresConfig{URL: s.URL, Table: "Plant One.read\"ings", Key: []string{"id", "time"}, Create: true})
	must(t, sink.Write(t.Context(), table(pipeline.Schema{id, value}, []any{"a", 1.5}, []any{"b", math.NaN()}, []any{"c", math.Inf(-1)})))
	must(t, sink.Write(t.Context(), table(pipeline.Schema{id, whole, truth, content, {Name: "Odd \"name", Kind: pipeline.Text}}, []any{"d", -7, true, "\x00\xff", `\"{},NULL`})))
	must(t, sink.Write(t.Context(), table(pipeline.Schema{id, value}, []any{"a", 2.5}))) // takes the place of the first
	got := texts(query(t, s.URL, `SELECT concat_ws('|', id, v, n, "on", raw, "Odd ""name", extract(epoch from time)) FROM "Plant One"."read""ings" ORDER BY id`))
	if want := []string{"a|2.5|1767225600.000000", "b|NaN|1767225600.001000", "c|-Infinity|1767225600.002000", `d|-7|t|\x00ff|\"{},NULL|1767225600.000000`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	types := texts(query(t, s.URL, `SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '"Plant One"."read""ings"'::regclass AND attnum > 0 ORDER BY attnum`))
	if want := []string{"timestamp with time zone", "text", "double precision", "bigint", "boolean", "bytea", "text"}; !slices.Equal(types, want) {
		t.Errorf("got %q, want %q", types, want)
	}
	if sink.Written() == 0 {
		t.Error("got no bytes written")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What TimescaleDB would be asked, for it is not in Debian: a function in its
// place notes the call.
func hypertable(t *testing.T, s *sinktest.Server) {
	query(t, s.URL, `CREATE TABLE calls (said text);
CREATE FUNCTION create_hypertable(r regclass, c name, if_not_exists boolean) RETURNS int LANGUAGE sql AS $$ INSERT INTO calls VALUES (r || ' ' || c || ' ' || if_not_exists) RETURNING 1 $$;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) SELECT 99999, 'timescaledb', 10, oid, false, '2' FROM pg_namespace WHERE nspname = 'public'`)
	for _, c := range []sinks.PostgresConfig{{Table: "a", Key: []string{"ts", "id"}}, {Table: "b", Key: []string{"id"}}} {
		c.URL, c.Create, c.Time = s.URL, true, "ts"
		for range 2 {
			must(t, openPostgres(t, c).Write(t.Context(), table(pipeline.Schema{id, value}, []any{"a", 1.5})))
		}
	}
	if got := texts(query(t, s.URL, "SELECT said FROM calls")); !slices.Equal(got, []string{"a ts true"}) {
		t.Errorf("got %q, want one call for the table whose key has the time", got)
	}
}

func ownTypes(t *testing.T, s *sinktest.Server) {
	query(t, s.URL, `CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE own (time timestamp, id varchar(3) PRIMARY KEY, v real, n smallint, mood mood, doc jsonb, "at" timestamptz, flag text, made text GENERATED ALWAYS AS ('x' || id) STORED)`)
	schema := pipeline.Schema{id, value, whole, {Name: "mood", Kind: pipeline.Text}, {Name: "doc", Kind: pipeline.Text}, {Name: "at", Kind: pipeline.Text}, {Name: "flag", Kind: pipeline.Bool}}
	sink := openPostgres(t, sinks.PostgresConfig{URL: s.URL, Table: "own", Key: []string{"id"}})
	err := sink.Write(t.Context(), table(schema,
		[]any{"a", 0.25, 7, "good", `{"a": [1]}`, "2026-01-01T00:00:00Z", true},
		[]any{"long", 0.25, 7, "good", nil, nil, nil}, // too long; not cut
		[]any{"b", 0.25, 70000, "good", nil, nil, nil},
		[]any{"c", 0.25, 7, "fair", nil, nil, nil},
		[]any{"d", 0.25, 7, "bad", `{"a"`, nil, nil},
		[]any{"e", 1e300, 7, "bad", nil, nil, nil},
		[]any{"f", nil, nil, nil, nil, "yesterday-ish", nil},
		[]any{"g", nil, nil, nil, nil, nil, nil},
	))
	var no *sinks.Refused
	if !errors.As(err, &no) {
		t.Fatalf("got %v", err)
	}
	var rows []int
	for _, r := range no.Rows {
		rows = append(rows, r.Row)
	}
	if !slices.Equal(rows, []int{1, 2, 3, 4, 5, 6}) {
		t.Errorf("got %+v refused, want rows 1 to 6", no.Rows)
	}
	got := texts(query(t, s.URL, `SELECT concat_ws('|', time, id, v, n, mood, doc, extract(epoch from "at"), flag, made) FROM own ORDER BY id`))
	if want := []string{`2026-01-01 00:00:00|a|0.25|7|good|{"a": [1]}|1767225600.000000|true|xa`, "2026-01-01 00:00:00.007|g|xg"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func beforehand(t *testing.T, s *sinktest.Server) {
	query(t, s.URL, "CREATE TABLE t (time timestamptz, id text PRIMARY KEY, v float8)")
	sink := openPostgres(t, sinks.PostgresConfig{URL: s.URL, Table: "t", Key: []string{"id"}})
	err := sink.Write(t.Context(), table(pipeline.Schema{id, value, whole}, []any{"a", 1.0, nil}, []any{nil, 1.0, nil}, []any{"b", 1.0, 7}, []any{"c\x00", 1.0, nil}))
	var no *sinks.Refused
	if !errors.As(err, &no) || len(no.Rows) != 3 {
		t.Fatalf("got %v, want three rows refused", err)
	}
	for i, want := range []string{"key id has no value", `no column "n"`, "NUL"} {
		if no.Rows[i].Row != i+1 || !strings.Contains(no.Rows[i].Reason, want) {
			t.Errorf("got %+v, want row %d: %s", no.Rows[i], i+1, want)
		}
	}
}

func sameKey(t *testing.T, s *sinktest.Server) {
	sink := openPostgres(t, sinks.PostgresConfig{URL: s.URL, Table: "state", Key: []string{"id"}, Create: true})
	must(t, sink.Write(t.Context(), table(pipeline.Schema{id, value}, []any{"a", 1.0}, []any{"b", 1.0}, []any{"a", 2.0}, []any{"a", 3.0})))
	must(t, sink.Write(t.Context(), table(pipeline.Schema{id, value}, []any{"b", 4.0})))
	if got := texts(query(t, s.URL, "SELECT id || v FROM state ORDER BY id")); !slices.Equal(got, []string{"a3", "b4"}) {
		t.Errorf("got %q", got)
	}
	keys := openPostgres(t, sinks.PostgresConfig{URL: s.URL, Table: "keys", Key: []string{"id", "time"}, Create: true})
	for range 2 { // nothing but the key
		must(t, keys.Write(t.Context(), table(pipeline.Schema{id}, []any{"a"})))
	}
}

func mistakes(t *testing.T, s *sinktest.Server) {
	query(t, s.URL, "CREATE TABLE loose (time timestamptz, id text, v float8); CREATE TABLE timeless (id text PRIMARY KEY); CREATE USER guest")
	as := func(change func(*url.URL)) string {
		u, err := url.Parse(s.URL)
		must(t, err)
		change(u)
		return u.String()
	}
	for _, c := range []struct {
		want string
		c    sinks.PostgresConfig
	}{
		{"create: true", sinks.PostgresConfig{URL: s.URL, Table: "nothing", Key: []string{"id"}}},
		{"CREATE UNIQUE INDEX ON loose (id)", sinks.PostgresConfig{URL: s.URL, Table: "loose", Key: []string{"id"}}},
		{"no such column", sinks.PostgresConfig{URL: s.URL, Table: "loose", Key: []string{"id"}, Fields: []string{"nothing"}}},
		{"no such column", sinks.PostgresConfig{URL: s.URL, Table: "loose", Key: []string{"id"}, Time: "ts"}},
		{"column time", sinks.PostgresConfig{URL: s.URL, Table: "timeless", Key: []string{"id"}}},
		{"GRANT", sinks.PostgresConfig{URL: as(func(u *url.URL) { u.User = url.User("guest") }), Table: "t", Key: []string{"id"}}},
		{"check user and password", sinks.PostgresConfig{URL: as(func(u *url.URL) { u.User = url.User("nobody") }), Table: "loose", Key: []string{"id"}}},
		{"check url", sinks.PostgresConfig{URL: as(func(u *url.URL) { u.Path = "/nothing" }), Table: "loose", Key: []string{"id"}}},
	} {
		err := openPostgres(t, c.c).Write(t.Context(), table(pipeline.Schema{id}, []any{"a"}))
		var later *sinks.Later
		if !errors.As(err, &later) || !later.Mistake || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want a mistake, %s", err, c.want)
		}
	}
	late := openPostgres(t, sinks.PostgresConfig{URL: s.URL, Table: "late", Key: []string{"id"}})
	if err := late.Write(t.Context(), table(pipeline.Schema{id}, []any{"a"})); err == nil {
		t.Error("got no error")
	}
	query(t, s.URL, "CREATE TABLE late (time timestamptz, id text PRIMARY KEY)")
	must(t, late.Write(t.Context(), table(pipeline.Schema{id}, []any{"a"}))) // once it is mended
}

func TestNoErrorShowsThePasswordOfADatabase(t *testing.T) {
	const secret = "hunter2"
	for _, c := range []sinks.PostgresConfig{
		{URL: "postgres://me:" + secret + "@127.0.0.1:1/d?sslmode=disable"}, {URL: "postgres://me@127.0.0.1:1/d?sslmode=disable", Password: secret},
		{URL: "postgres://me:" + secret + "@h:x/d"}, {URL: "nonsense " + secret}, {URL: "host=127.0.0.1 port=1 password=" + secret + " sslmode=disable"},
	} {
		c.Table, c.Key = "t", []string{"id"}
		s, err := sinks.NewPostgres(c)
		if err == nil {
			err = s.Write(t.Context(), table(pipeline.Schema{id}, []any{"a"}))
		}
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want an error without the secret", err)
		}
	}
	for _, c := range []sinks.PostgresConfig{{Table: ""}, {Table: "a..b"}, {Table: strings.Repeat("x", 64)}, {Table: "t", Key: nil}} {
		c.URL = "postgres://h/d"
		if c.Table != "t" {
			c.Key = []string{"id"}
		}
		if _, err := sinks.NewPostgres(c); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
}

// everyRow cuts the server off again and
// again, and writes batches twice.
func everyRow(t *testing.T, s *sinktest.Server) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	sink := openPostgres(t, sinks.PostgresConfig{URL: s.URL, Table: "rows", Key: []string{"time", "id"}, Create: true, Timeout: 5 * time.Second})
	d := sinks.NewDelivery(sink, sinks.DeliveryConfig{Sink: "x", RowsMax: 50, Linger: 10 * time.Millisecond})
	d.RetryWithin(20 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go d.Run(ctx)
	const rows = 1000
	for i := 0; i < rows; {
		n := min(1+r.IntN(40), rows-i)
		d.Push(readings(i, i+n))
		i += n
		switch r.IntN(8) {
		case 0:
			d.Push(readings(i-n, i)) // again, as after a crash
		case 1:
			query(t, s.URL, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace'")
		}
		if i%500 < n {
			s.Quit()
			d.Push(readings(i-n, i))
			s.Start()
			sinktest.Eventually(t, func() bool { return len(probe(t, s.URL)) == 1 }, func() string { return "the server" })
		}
	}
	long, stop := context.WithTimeout(ctx, sinktest.Patience)
	defer stop()
	must(t, d.Drain(long))
	got := query(t, s.URL, "SELECT json_agg(v ORDER BY v) FROM rows")
	var want bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&want, ", %d", i)
	}
	if g := strings.Trim(string(got[0]), "[]"); g != want.String()[2:] {
		t.Errorf("got %.200s…", g)
	}
}

// probe asks a server that may not be ready.
func probe(t *testing.T, url string) [][]byte {
	s, err := sinks.NewPostgres(sinks.PostgresConfig{URL: url, Table: "probe", Key: []string{"time"}, Create: true})
	must(t, err)
	defer s.Close()
	if s.Write(t.Context(), table(pipeline.Schema{}, []any{})) != nil {
		return nil
	}
	return [][]byte{nil}
}
