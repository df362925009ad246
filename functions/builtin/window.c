//go:build ignore

/* window: the aggregates of one pane, which is one stretch of time of one key.
 *
 * The host decides which pane a row belongs to and gives each pane a slot; a
 * tick on a slot means: this pane is over, speak now. Parameters are
 * [n, op, column, argument, op, column, argument, …]; output k is operation k.
 *
 * What a slot holds follows from the parameters. Operations on one column
 * share its record:
 *
 *	int64 timer (unused), u64 rows, then for each column asked for
 *	  tally    40 B  count, sum, minimum, maximum
 *	  ends     32 B  first, last                 only if asked for
 *	  spread   16 B  stddev                      only if asked for
 *	  sketch 1544 B  quantiles                   only if asked for
 *
 * A value that is null or NaN is passed over; count counts rows. An operation
 * that has no values to work on, or whose result is NaN, leaves its output
 * without a value.
 */
#include "millrace.h"
#include "sketch.h"

MR_DESCRIBE({
	"name": "window", "version": "1", "doc": "the aggregates of a window; the step `window:` runs it",
	"in": [], "out": [], "params": [],
	"state": "slots", "state_version": 1, "heap": false, "raw": false, "timers": false, "variadic": true
})

enum { COUNT, SUM, MEAN, MIN, MAX, STDDEV, FIRST, LAST, RANGE, QUANTILE, OPS };
enum { TALLY = 1, ENDS = 2, SPREAD = 4, SKETCH = 8 }; /* the parts of a record */
enum { OPERATIONS_MAX = 64, COLUMNS_MAX = 256 };

struct pane {
	int64_t timer;
	uint64_t rows;
};

/* sum + carry is the sum as if added with twice the precision: Knuth's TwoSum
 * (The Art of Computer Programming 2, 4.2.2) keeps what each addition rounds off. */
struct tally {
	double sum, carry, min, max;
	uint64_t n;
};

/* By event time; of readings at the same time the first, or the last, that came. */
struct ends {
	int64_t first_time, last_time;
	double first, last;
};

/* B. P. Welford, Note on a method for calculating corrected sums of squares
 * and products, Technometrics 4 (1962): no cancellation however far from zero. */
struct spread {
	double mean, squares;
};

struct record {
	uint32_t column, parts;
	uint32_t tally, ends, spread, sketch; /* where in the slot */
};

struct operation {
	uint32_t op, record;
	double argument;
};

static struct record records[OPERATIONS_MAX];
static struct operation operations[OPERATIONS_MAX];
static uint32_t records_len, operations_len, columns_needed, slot_bytes, rows_counted;

/* ---- Parameters ---- */

static const uint8_t parts_of[OPS] = {
	[SUM] = TALLY, [MEAN] = TALLY, [MIN] = TALLY, [MAX] = TALLY, [RANGE] = TALLY,
	[STDDEV] = TALLY | SPREAD, [FIRST] = TALLY | ENDS, [LAST] = TALLY | ENDS, [QUANTILE] = TALLY | SKETCH,
};

static uint32_t record_of(uint32_t column) {
	for (uint32_t k = 0; k < records_len; k++)
		if (records[k].column == column) return k;
	records[records_len] = (struct record){.column = column};
	return records_len++;
}

static uint32_t take(uint32_t bytes) {
	uint32_t at = slot_bytes;
	slot_bytes += (bytes + 7) & ~7u;
	return at;
}

static void lay_out(void) {
	slot_bytes = sizeof(struct pane);
	for (uint32_t k = 0; k < records_len; k++) {
		struct record *r = &records[k];
		r->tally = take(sizeof(struct tally));
		if (r->parts & ENDS) r->ends = take(sizeof(struct ends));
		if (r->parts & SPREAD) r->spread = take(sizeof(struct spread));
		if (r->parts & SKETCH) r->sketch = take(sizeof(struct sketch));
	}
}

/* A whole number from 0 up to, but not including, end. */
static int is_index(double v, uint32_t end) { return v >= 0 && v < end && v == __builtin_floor(v); }

static int refuse(const char *why, uint32_t len) {
	mr_log_bytes(MR_ERROR, why, len);
	return -1;
}
#define REFUSE(why) return refuse(why, sizeof(why) - 1)

static int configure(const mr_frame *f) {
	const double *p = f->param;
	if (f->params < 1 || !is_index(p[0], OPERATIONS_MAX + 1) || p[0] < 1) REFUSE("window: from 1 to 64 operations");
	uint32_t n = (uint32_t)p[0];
	if (f->params < 1 + 3 * n) REFUSE("window: an operation takes three parameters");
	records_len = operations_len = columns_needed = rows_counted = 0;
	for (p++; operations_len < n; p += 3) {
		if (!is_index(p[0], OPS)) REFUSE("window: unknown operation");
		struct operation o = {.op = (uint32_t)p[0], .argument = p[2]};
		if (o.op == QUANTILE && !(o.argument >= 0 && o.argument <= 1)) REFUSE("window: a quantile is from 0 to 1");
		if (o.op == COUNT) {
			rows_counted = 1;
		} else {
			if (!is_index(p[1], COLUMNS_MAX)) REFUSE("window: a column is from 0 to 255");
			o.record = record_of((uint32_t)p[1]);
			records[o.record].parts |= parts_of[o.op];
			if (columns_needed <= p[1]) columns_needed = (uint32_t)p[1] + 1;
		}
		operations[operations_len++] = o;
	}
	lay_out();
	return 0;
}
MR_INIT(configure)

MR_EXPORT("mr1_state") uint32_t state(void) { return slot_bytes; }

/* ---- Rows ---- */

#define PART(type, slot, offset) ((struct type *)((char *)(slot) + (offset)))

static inline void add_to_tally(struct tally *t, double x) {
	if (t->n == 0) t->min = t->max = x;
	t->n++;
	double sum = t->sum + x, added = sum - t->sum;
	t->carry += (t->sum - (sum - added)) + (x - added);
	t->sum = sum;
	if (x < t->min) t->min = x;
	if (x > t->max) t->max = x;
}

static inline void add_to_spread(struct spread *s, double x, uint64_t n) {
	double off = x - s->mean;
	s->mean += off / (double)n;
	s->squares += off * (x - s->mean);
}

static inline void add_to_ends(struct ends *e, double x, int64_t time, uint64_t n) {
	if (n == 1 || time < e->first_time) {
		e->first = x;
		e->first_time = time;
	}
	if (n == 1 || time >= e->last_time) {
		e->last = x;
		e->last_time = time;
	}
}

/* One column of a frame into the records of its rows. Compiled once for each
 * constant `parts`, so that the usual case tests nothing in the loop. */
__attribute__((always_inline)) static inline void add_column(const mr_frame *f, const struct record *r, const uint32_t parts) {
	const double *value = f->col[r->column].data;
	const uint8_t *valid = f->col[r->column].valid;
	void **const slots = f->slot;
	const uint32_t rows = f->rows, offset = r->tally;
	for (uint32_t i = 0; i < rows; i++) {
		double x = value[i];
		if (x != x || (valid && !(valid[i >> 3] >> (i & 7) & 1))) continue;
		void *slot = slots[i];
		struct tally *t = PART(tally, slot, offset);
		add_to_tally(t, x);
		if (parts & SPREAD) add_to_spread(PART(spread, slot, r->spread), x, t->n);
		if (parts & ENDS) add_to_ends(PART(ends, slot, r->ends), x, f->time[i], t->n);
		if (parts & SKETCH) sketch_add(PART(sketch, slot, r->sketch), x);
	}
}

static int add_rows(const mr_frame *f) {
	if (f->columns < columns_needed) REFUSE("window: fewer columns than the parameters name");
	for (uint32_t k = 0; k < columns_needed; k++)
		if (f->col[k].kind != MR_F64) REFUSE("window: every column must be f64");
	if (rows_counted)
		for (uint32_t i = 0; i < f->rows; i++) ((struct pane *)f->slot[i])->rows++;
	for (uint32_t k = 0; k < records_len; k++) {
		const struct record *r = &records[k];
		if (r->parts == TALLY) add_column(f, r, TALLY);
		else add_column(f, r, r->parts);
	}
	return 0;
}

/* ---- Ticks ---- */

static double total(const struct tally *t) {
	double sum = t->sum + t->carry;
	return mr_finite(sum) ? sum : t->sum; /* after an infinite value the carry is NaN */
}

/* NaN: no value. */
static double result(const struct operation *o, const void *slot) {
	if (o->op == COUNT) return (double)PART(pane, slot, 0)->rows;
	const struct record *r = &records[o->record];
	const struct tally *t = PART(tally, slot, r->tally);
	if (t->n == 0) return __builtin_nan("");
	switch (o->op) {
	case SUM: return total(t);
	case MEAN: return total(t) / (double)t->n;
	case MIN: return t->min;
	case MAX: return t->max;
	case RANGE: return t->max - t->min;
	case STDDEV: return t->n < 2 ? __builtin_nan("") : __builtin_sqrt(PART(spread, slot, r->spread)->squares / (double)(t->n - 1));
	case FIRST: return PART(ends, slot, r->ends)->first;
	case LAST: return PART(ends, slot, r->ends)->last;
	}
	double q = sketch_quantile(PART(sketch, slot, r->sketch), o->argument);
	return q < t->min ? t->min : q > t->max ? t->max : q;
}

static int speak(mr_frame *f) {
	if (f->outs < operations_len) REFUSE("window: fewer outputs than operations");
	for (uint32_t k = 0; k < operations_len; k++) {
		if (f->ocol[k].kind != MR_F64) REFUSE("window: every output must be f64");
		for (uint32_t i = 0; i < f->rows; i++) mr_set((mr_row){f, i}, k, result(&operations[k], f->slot[i]));
	}
	for (uint32_t i = 0; i < f->rows; i++) mr_emit((mr_row){f, i});
	return 0;
}

MR_EXPORT("mr1_frame") int32_t on_frame(mr_frame *f) { return f->kind == MR_ROWS ? add_rows(f) : speak(f); }
