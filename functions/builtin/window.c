//go:build ignore

/* window: the aggregates of one pane, which is one stretch of time of one key.
 *
 * The host decides which pane a row belongs to and gives each pane a slot; a
 * tick on a slot means: speak now. A window of several panes is merged first.
 * Parameters are [n, op, column, argument, op, column, argument, …]; an
 * operation has one output, TOP has four for each of its values.
 *
 * What a slot holds follows from the parameters. Operations on one column
 * share its record:
 *
 *	int64 timer (in a tick the window's start), u64 rows, then for each
 *	column asked for what is asked of it
 *	  tally      40 B  count, sum, minimum, maximum
 *	  ends       32 B  first, last, rate
 *	  spread     16 B  stddev, variance
 *	  sketch   1544 B  quantiles
 *	  course    304 B  integral, time_mean
 *	  distinct 2048 B
 *	  top      1288 B
 *
 * A value that is null or NaN is passed over; count counts rows. An operation
 * that has no values to work on, or whose result is NaN, leaves its output
 * without a value. distinct and top take any 64 and 4 times 64 bits, as i64.
 */
#include "millrace.h"
#include "course.h"
#include "distinct.h"
#include "sketch.h"
#include "top.h"

MR_DESCRIBE({
	"name": "window", "version": "2", "doc": "the aggregates of a window; the step `window:` runs it",
	"in": [], "out": [], "params": [],
	"state": "slots", "state_version": 2, "heap": false, "raw": false, "timers": false, "variadic": true
})

enum {
	COUNT, SUM, MEAN, MIN, MAX, STDDEV, FIRST, LAST, RANGE, QUANTILE,
	VARIANCE, RATE, INTEGRAL, TIME_MEAN, DISTINCT, TOP, OPS
};
enum { TALLY = 1, ENDS = 2, SPREAD = 4, SKETCH = 8, COURSE = 16, SET = 32, RANKING = 64 }; /* the parts of a record */
enum { OPERATIONS_MAX = 64, COLUMNS_MAX = 256, TOP_MAX = 10 };

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
	uint32_t tally, ends, spread, sketch, course, distinct, top; /* where in the slot */
};

struct operation {
	uint32_t op, record, out; /* its first output */
	double argument;
};

static struct record records[OPERATIONS_MAX];
static struct operation operations[OPERATIONS_MAX];
static uint32_t records_len, operations_len, columns_needed, outputs_needed, slot_bytes, rows_counted;

/* ---- Parameters ---- */

static const uint8_t parts_of[OPS] = {
	[SUM] = TALLY, [MEAN] = TALLY, [MIN] = TALLY, [MAX] = TALLY, [RANGE] = TALLY,
	[STDDEV] = TALLY | SPREAD, [FIRST] = TALLY | ENDS, [LAST] = TALLY | ENDS, [QUANTILE] = TALLY | SKETCH,
	[VARIANCE] = TALLY | SPREAD, [RATE] = TALLY | ENDS, [INTEGRAL] = TALLY | COURSE, [TIME_MEAN] = TALLY | COURSE,
	[DISTINCT] = SET, [TOP] = RANKING,
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
		if (r->parts & TALLY) r->tally = take(sizeof(struct tally));
		if (r->parts & ENDS) r->ends = take(sizeof(struct ends));
		if (r->parts & SPREAD) r->spread = take(sizeof(struct spread));
		if (r->parts & SKETCH) r->sketch = take(sizeof(struct sketch));
		if (r->parts & COURSE) r->course = take(sizeof(struct course));
		if (r->parts & SET) r->distinct = take(sizeof(struct distinct));
		if (r->parts & RANKING) r->top = take(sizeof(struct top));
	}
}

/* A whole number from 0 up to, but not including, end. */
static int is_index(double v, uint32_t end) { return v >= 0 && v < end && v == __builtin_floor(v); }

static int refuse(const char *why, uint32_t len) {
	mr_log_bytes(MR_ERROR, why, len);
	return -1;
}
#define REFUSE(why) return refuse(why, sizeof(why) - 1)

/* Why an operation's argument is none, or null. */
static const char *argument_wrong(const struct operation *o) {
	double a = o->argument;
	if (o->op == QUANTILE && !(a >= 0 && a <= 1)) return "a quantile is from 0 to 1";
	if ((o->op == RATE || o->op == INTEGRAL) && !(a > 0 && mr_finite(a))) return "a unit of time is above 0";
	if (o->op == TOP && (!is_index(a, TOP_MAX + 1) || a < 1)) return "top is from 1 to 10";
	return 0;
}

static uint32_t length(const char *text) {
	uint32_t n = 0;
	while (text[n]) n++;
	return n;
}

static int add_operation(const double *p) {
	if (!is_index(p[0], OPS)) REFUSE("window: unknown operation");
	struct operation o = {.op = (uint32_t)p[0], .argument = p[2], .out = outputs_needed};
	const char *wrong = argument_wrong(&o);
	if (wrong) return refuse(wrong, length(wrong));
	if (o.op == COUNT) {
		rows_counted = 1;
	} else {
		if (!is_index(p[1], COLUMNS_MAX)) REFUSE("window: a column is from 0 to 255");
		o.record = record_of((uint32_t)p[1]);
		records[o.record].parts |= parts_of[o.op];
		uint32_t end = (uint32_t)p[1] + (o.op == TOP ? WORDS : 1);
		if (columns_needed < end) columns_needed = end;
	}
	outputs_needed += o.op == TOP ? WORDS * (uint32_t)o.argument : 1;
	operations[operations_len++] = o;
	return 0;
}

static int configure(const mr_frame *f) {
	const double *p = f->param;
	if (f->params < 1 || !is_index(p[0], OPERATIONS_MAX + 1) || p[0] < 1) REFUSE("window: from 1 to 64 operations");
	uint32_t n = (uint32_t)p[0];
	if (f->params < 1 + 3 * n) REFUSE("window: an operation takes three parameters");
	records_len = operations_len = columns_needed = outputs_needed = rows_counted = 0;
	for (p++; operations_len < n; p += 3) {
		int why = add_operation(p);
		if (why) return why;
	}
	for (uint32_t k = 0; k < records_len; k++)
		if (records[k].parts & (SET | RANKING) && records[k].parts & (records[k].parts - 1)) REFUSE("window: a column is numbers, or a set, or a ranking");
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

/* One column of a frame into the records of its rows, and the rows into their
 * panes if they are to be counted. Compiled once for each constant `parts` and
 * `counted`, so that the usual case tests nothing in the loop. */
__attribute__((always_inline)) static inline void add_column(const mr_frame *f, const struct record *r, const uint32_t parts, const int counted) {
	const double *value = f->col[r->column].data;
	const uint8_t *valid = f->col[r->column].valid;
	void **const slots = f->slot;
	const uint32_t rows = f->rows, offset = r->tally;
	for (uint32_t i = 0; i < rows; i++) {
		double x = value[i];
		void *slot = slots[i];
		if (counted) PART(pane, slot, 0)->rows++;
		if (x != x || (valid && !(valid[i >> 3] >> (i & 7) & 1))) continue;
		struct tally *t = PART(tally, slot, offset);
		add_to_tally(t, x);
		if (parts & SPREAD) add_to_spread(PART(spread, slot, r->spread), x, t->n);
		if (parts & ENDS) add_to_ends(PART(ends, slot, r->ends), x, f->time[i], t->n);
		if (parts & SKETCH) sketch_add(PART(sketch, slot, r->sketch), x);
		if (parts & COURSE) course_add(PART(course, slot, r->course), x, f->time[i]);
	}
}

static void add_set(const mr_frame *f, const struct record *r) {
	for (uint32_t i = 0; i < f->rows; i++) {
		mr_row row = {(mr_frame *)f, i};
		if (mr_has(row, r->column)) distinct_add(PART(distinct, f->slot[i], r->distinct), (uint64_t)mr_int(row, r->column));
	}
}

static void add_ranking(const mr_frame *f, const struct record *r) {
	for (uint32_t i = 0; i < f->rows; i++) {
		mr_row row = {(mr_frame *)f, i};
		if (!mr_has(row, r->column)) continue;
		uint64_t item[WORDS];
		for (uint32_t w = 0; w < WORDS; w++) item[w] = (uint64_t)mr_int(row, r->column + w);
		top_add(PART(top, f->slot[i], r->top), item);
	}
}

static int kinds_fit(const mr_frame *f, const struct record *r) {
	uint32_t n = r->parts & RANKING ? WORDS : 1, kind = r->parts & (RANKING | SET) ? MR_I64 : MR_F64;
	for (uint32_t k = 0; k < n; k++)
		if (f->col[r->column + k].kind != kind) return 0;
	return 1;
}

static int add_rows(const mr_frame *f) {
	if (f->columns < columns_needed) REFUSE("window: fewer columns than the parameters name");
	for (uint32_t k = 0; k < records_len; k++)
		if (!kinds_fit(f, &records[k])) REFUSE("window: numbers are f64, sets and rankings i64");
	int counted = rows_counted && records_len > 0 && records[0].parts == TALLY; /* together with the first column */
	if (rows_counted && !counted)
		for (uint32_t i = 0; i < f->rows; i++) PART(pane, f->slot[i], 0)->rows++;
	for (uint32_t k = 0; k < records_len; k++) {
		const struct record *r = &records[k];
		if (k == 0 && counted) add_column(f, r, TALLY, 1);
		else if (r->parts == TALLY) add_column(f, r, TALLY, 0);
		else if (r->parts == SET) add_set(f, r);
		else if (r->parts == RANKING) add_ranking(f, r);
		else add_column(f, r, r->parts, 0);
	}
	return 0;
}

/* ---- Panes of one window ---- */

static void merge_tally(struct tally *t, const struct tally *from) {
	if (t->n == 0) {
		*t = *from;
		return;
	}
	double sum = t->sum + from->sum, added = sum - t->sum;
	t->carry += from->carry + (t->sum - (sum - added)) + (from->sum - added);
	t->sum = sum;
	if (from->min < t->min) t->min = from->min;
	if (from->max > t->max) t->max = from->max;
	t->n += from->n;
}

static void merge_ends(struct ends *e, const struct ends *from) {
	if (from->first_time < e->first_time) {
		e->first = from->first;
		e->first_time = from->first_time;
	}
	if (from->last_time >= e->last_time) {
		e->last = from->last;
		e->last_time = from->last_time;
	}
}

/* T. F. Chan, G. H. Golub, R. J. LeVeque, Updating formulae and a pairwise
 * algorithm for computing sample variances, COMPSTAT 1982. */
static void merge_spread(struct spread *s, double n, const struct spread *from, double m) {
	double off = from->mean - s->mean;
	s->mean += off * (m / (n + m));
	s->squares += from->squares + off * off * (n * m / (n + m));
}

static void merge_record(const struct record *r, void *slot, const void *from) {
	if (r->parts & SET) distinct_merge(PART(distinct, slot, r->distinct), PART(distinct, from, r->distinct));
	if (r->parts & RANKING) top_merge(PART(top, slot, r->top), PART(top, from, r->top));
	if (!(r->parts & TALLY)) return;
	struct tally *t = PART(tally, slot, r->tally);
	const struct tally *add = PART(tally, from, r->tally);
	if (add->n == 0) return;
	if (r->parts & ENDS) {
		if (t->n == 0) *PART(ends, slot, r->ends) = *PART(ends, from, r->ends);
		else merge_ends(PART(ends, slot, r->ends), PART(ends, from, r->ends));
	}
	if (r->parts & SPREAD) {
		if (t->n == 0) *PART(spread, slot, r->spread) = *PART(spread, from, r->spread);
		else merge_spread(PART(spread, slot, r->spread), (double)t->n, PART(spread, from, r->spread), (double)add->n);
	}
	if (r->parts & SKETCH) sketch_merge(PART(sketch, slot, r->sketch), PART(sketch, from, r->sketch));
	if (r->parts & COURSE) course_merge(PART(course, slot, r->course), PART(course, from, r->course));
	merge_tally(t, add);
}

/* Add what n slots hold, in the order of time and all later than slot. */
MR_EXPORT("mr1_merge") int32_t merge(void *slot, void *const *from, uint32_t n) {
	for (uint32_t i = 0; i < n; i++) {
		PART(pane, slot, 0)->rows += PART(pane, from[i], 0)->rows;
		for (uint32_t k = 0; k < records_len; k++) merge_record(&records[k], slot, from[i]);
	}
	return 0;
}

/* ---- Ticks ---- */

static double total(const struct tally *t) {
	double sum = t->sum + t->carry;
	return mr_finite(sum) ? sum : t->sum; /* after an infinite value the carry is NaN */
}

static double variance(const struct tally *t, const struct spread *s) {
	return t->n < 2 ? __builtin_nan("") : s->squares / (double)(t->n - 1);
}

static double rate(const struct ends *e, double unit) {
	double apart = (double)(e->last_time - e->first_time);
	return apart > 0 ? (e->last - e->first) / (apart * 1e-6) * unit : __builtin_nan("");
}

static double over_time(const struct operation *o, const struct tally *t, const struct course *c, int64_t start, int64_t end) {
	double covered, area = course_area(c, t->n, start, end, &covered);
	if (o->op == INTEGRAL) return covered > 0 ? area * 1e-6 / o->argument : __builtin_nan("");
	return covered > 0 ? area / covered : total(t) / (double)t->n;
}

/* NaN: no value. */
static double result(const struct operation *o, const void *slot, int64_t end) {
	const struct pane *p = PART(pane, slot, 0);
	if (o->op == COUNT) return (double)p->rows;
	const struct record *r = &records[o->record];
	if (o->op == DISTINCT) return distinct_count(PART(distinct, slot, r->distinct));
	const struct tally *t = PART(tally, slot, r->tally);
	if (t->n == 0) return __builtin_nan("");
	switch (o->op) {
	case SUM: return total(t);
	case MEAN: return total(t) / (double)t->n;
	case MIN: return t->min;
	case MAX: return t->max;
	case RANGE: return t->max - t->min;
	case STDDEV: return __builtin_sqrt(variance(t, PART(spread, slot, r->spread)));
	case VARIANCE: return variance(t, PART(spread, slot, r->spread));
	case FIRST: return PART(ends, slot, r->ends)->first;
	case LAST: return PART(ends, slot, r->ends)->last;
	case RATE: return rate(PART(ends, slot, r->ends), o->argument);
	case INTEGRAL:
	case TIME_MEAN: return over_time(o, t, PART(course, slot, r->course), p->timer, end);
	}
	double q = sketch_quantile(PART(sketch, slot, r->sketch), o->argument);
	return q < t->min ? t->min : q > t->max ? t->max : q;
}

static void rank(mr_row row, const struct operation *o, const void *slot) {
	const struct top *t = PART(top, slot, records[o->record].top);
	uint32_t taken = 0, out = o->out;
	for (uint32_t k = 0; k < (uint32_t)o->argument; k++) {
		const struct counter *c = top_next(t, &taken);
		if (!c) return;
		for (uint32_t w = 0; w < WORDS; w++) mr_set_int(row, out++, (int64_t)c->item[w]);
	}
}

static int speak(mr_frame *f) {
	if (f->outs < outputs_needed) REFUSE("window: fewer outputs than operations want");
	for (uint32_t k = 0; k < operations_len; k++) {
		const struct operation *o = &operations[k];
		if (f->ocol[o->out].kind != (o->op == TOP ? MR_I64 : MR_F64)) REFUSE("window: outputs are f64, those of top i64");
		for (uint32_t i = 0; i < f->rows; i++) {
			mr_row row = {f, i};
			if (o->op == TOP) rank(row, o, f->slot[i]);
			else mr_set(row, o->out, result(o, f->slot[i], f->time[i]));
		}
	}
	for (uint32_t i = 0; i < f->rows; i++) mr_emit((mr_row){f, i});
	return 0;
}

MR_EXPORT("mr1_frame") int32_t on_frame(mr_frame *f) { return f->kind == MR_ROWS ? add_rows(f) : speak(f); }
