package sinks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace.dev/millrace/pipeline"
)

// Errors of the table; tell makes mistakes of the configuration of them.
var (
	errNoTable  = errors.New("there is no such table\n\thint: create it, or write create: true")
	errNoColumn = errors.New("the table has no such column")
)

// prepare makes sure that there is a connection, and a table that the rows of
// b go into, and works out the columns.
func (p *Postgres) prepare(ctx context.Context, b *pipeline.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, p.c.Timeout)
	defer cancel()
	if p.conn == nil || p.conn.IsClosed() {
		conn, err := pgconn.ConnectConfig(ctx, p.config)
		if err != nil {
			return err
		}
		p.conn, p.types = conn, nil
	}
	p.layout.fit(b)
	if p.types == nil {
		if err := p.learn(ctx); err != nil {
			return err
		}
	}
	if p.c.Create {
		if err := p.create(ctx); err != nil {
			return err
		}
	}
	if len(p.types) == 0 {
		p.types = nil // somebody may create it
		return fmt.Errorf("table %s: %w", p.c.Table, errNoTable)
	}
	for _, name := range slices.Concat(p.c.Key, p.c.Fields, []string{p.c.Time}) {
		if p.types[name] == "" && (name != timeName || p.c.Time == timeName) {
			p.types = nil // somebody may add it
			return fmt.Errorf("column %s: %w", name, errNoColumn)
		}
	}
	p.columns = p.columns[:0]
	p.columns = append(p.columns, pgColumn{name: p.c.Time})
	for k := range p.layout.fields {
		f := &p.layout.fields[k]
		if t := p.types[f.name]; t != "" {
			p.columns = append(p.columns, pgColumn{name: f.name, field: f, bytea: t == "bytea"})
		}
	}
	return nil
}

// learn asks for the columns of the table and their types. A type is without
// its limits, so that what is too long is refused and not cut.
func (p *Postgres) learn(ctx context.Context) error {
	r := p.conn.ExecParams(ctx, `SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`, [][]byte{[]byte(p.table)}, nil, nil, nil).Read()
	if r.Err != nil {
		return r.Err
	}
	p.types = map[string]string{}
	for _, row := range r.Rows {
		p.types[string(row[0])] = string(row[1])
	}
	return nil
}

// create creates the table, or the columns that it lacks.
func (p *Postgres) create(ctx context.Context) error {
	var lacking []*field
	for k := range p.layout.fields {
		if f := &p.layout.fields[k]; p.types[f.name] == "" && isName(f.name) && len(f.columns) > 0 {
			lacking = append(lacking, f)
		}
	}
	if room := columnsMax - len(p.types); len(lacking) > room {
		lacking = lacking[:max(room, 0)] // rows that have the others are refused
	}
	switch {
	case len(p.types) == 0:
		columns := []string{pgName(p.c.Time) + " timestamptz NOT NULL"}
		for _, f := range lacking {
			columns = append(columns, pgName(f.name)+" "+p.typeOf(f))
		}
		var keys []string
		for _, name := range p.c.Key {
			keys = append(keys, pgName(name))
		}
		if err := p.exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s, PRIMARY KEY (%s))", p.table, strings.Join(columns, ", "), strings.Join(keys, ", "))); err != nil {
			return err
		}
		if err := p.hypertable(ctx); err != nil {
			return err
		}
	case len(lacking) == 0:
		return nil
	default:
		var adds []string
		for _, f := range lacking {
			adds = append(adds, "ADD COLUMN IF NOT EXISTS "+pgName(f.name)+" "+p.typeOf(f))
		}
		if err := p.exec(ctx, fmt.Sprintf("ALTER TABLE %s %s", p.table, strings.Join(adds, ", "))); err != nil {
			return err
		}
	}
	return p.learn(ctx)
}

// typeOf returns the type of a new column.
func (p *Postgres) typeOf(f *field) string {
	switch p.layout.schema[f.columns[0]].Kind {
	case pipeline.Float:
		return "double precision"
	case pipeline.Int:
		return "bigint"
	case pipeline.Bool:
		return "boolean"
	case pipeline.Bytes:
		return "bytea"
	}
	return "text"
}

// hypertable makes a hypertable of the new table where TimescaleDB is
// installed and the time is part of the key, as it must be.
func (p *Postgres) hypertable(ctx context.Context) error {
	r := p.conn.ExecParams(ctx, "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'", nil, nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) == 0 || !slices.Contains(p.c.Key, p.c.Time) {
		return r.Err
	}
	_, err := p.conn.ExecParams(ctx, "SELECT create_hypertable(to_regclass($1), $2::name, if_not_exists => true)",
		[][]byte{[]byte(p.table), []byte(p.c.Time)}, nil, nil, nil).Close()
	return err
}

func (p *Postgres) exec(ctx context.Context, sql string) error {
	_, err := p.conn.ExecParams(ctx, sql, nil, nil, nil, nil).Close()
	return err
}

// pgReason returns why the server refuses rows, if it is for what they are.
func pgReason(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "21", "22", "23": // cardinality, data exception, integrity constraint
		return e.Message
	}
	return ""
}

// tell says where an error comes from, and whether somebody has to mend it.
func (p *Postgres) tell(err error) error {
	if err == nil {
		return nil
	}
	server := fmt.Sprintf("postgres %s/%s", p.config.Host, p.config.Database)
	err = fmt.Errorf("%s: %w", server, err)
	hint := ""
	var e *pgconn.PgError
	switch {
	case errors.Is(err, errNoTable), errors.Is(err, errNoColumn):
		return &Later{Err: err, After: mistakeAfter, Mistake: true}
	case !errors.As(err, &e):
		return err
	}
	switch {
	case e.Code[:2] == "28":
		hint = "check user and password"
	case e.Code == "3D000" || e.Code == "3F000":
		hint = "create it, or check url and table"
	case e.Code == "42501":
		hint = "GRANT the user INSERT, SELECT and UPDATE on the table, and CREATE on the schema for create: true"
	case e.Code == "42P10":
		hint = fmt.Sprintf("CREATE UNIQUE INDEX ON %s (%s)", p.c.Table, strings.Join(p.c.Key, ", "))
	case e.Code[:2] == "42":
		p.types = nil // the table may have changed
		hint = "check table and fields"
	default:
		p.types = nil
		return err
	}
	return &Later{Err: fmt.Errorf("%w\n\thint: %s", err, hint), After: mistakeAfter, Mistake: true}
}
