//go:build ignore

/* zscore: how many spreads (standard deviations) a value is from what is
 * normal for its key, and whether that is an anomaly.
 *
 * Mean and variance are kept incrementally: B. P. Welford, Technometrics 4
 * (1962); with weights that halve every half_life rows, D. H. D. West, Updating
 * mean and variance estimates: an improved method, Comm. ACM 22 (1979). A value
 * is judged by the rows before it.
 *
 * What is learnt from a value x follows from its score (in the way of
 * F. R. Hampel, The influence curve and its role in robust estimation, J. Amer.
 * Stat. Assoc. 69, 1974):
 *
 *	up to the threshold       x             normal
 *	up to twice the threshold the threshold as likely the tail of the noise
 *	beyond                    nothing       a fault must not become normal
 *
 * A level that stays must not alarm for ever: after relearn anomalies, where
 * each normal row takes two back, learning begins afresh.
 */
#include "millrace.h"
#include "millrace_math.h"

MR_DESCRIBE({
	"name": "zscore", "version": "1", "doc": "how unusual a value is for its key, in standard deviations",
	"in": [{"name": "value", "type": "f64", "doc": "what is judged"}],
	"out": [
		{"name": "score", "type": "f64", "doc": "standard deviations from the expected value, -1000 to 1000; none while warming up"},
		{"name": "anomaly", "type": "bool", "doc": "whether the score is beyond the threshold"},
		{"name": "expected", "type": "f64", "doc": "the mean so far, without this row"}
	],
	"params": [
		{"name": "threshold", "default": 3, "min": 0.1, "max": 1000, "doc": "an anomaly is further out than this, standard deviations"},
		{"name": "warmup", "default": 30, "min": 2, "max": 1000000, "doc": "rows to learn from before judging"},
		{"name": "half_life", "default": 1000, "min": 0, "max": 1000000000, "doc": "rows after which a row counts half; 0: all count the same for ever"},
		{"name": "relearn", "default": 300, "min": 0, "max": 1000000000, "doc": "lasting anomalies that are a new normal, rows; 0: never"},
		{"name": "spread_min", "default": 0, "min": 0, "doc": "the standard deviation is at least this, in units of the value"}
	],
	"state": "slots", "state_version": 1, "heap": false, "raw": false, "timers": false, "variadic": false
})

enum { SCORE, ANOMALY, EXPECTED };
enum { THRESHOLD, WARMUP, HALF_LIFE, RELEARN, SPREAD_MIN };

#define SCORE_MAX 1000.
#define VALUE_END 1e150 /* such values are passed over: their squares would overflow */

/* weight is the sum of the rows' weights, weight2 that of their squares. */
struct normal {
	double weight, weight2, mean, squares;
	uint32_t rows;    /* learnt, up to warmup */
	uint32_t lasting; /* anomalies, less two for each normal row since */
};

static double kept_per_row; /* the share of its weight that a row keeps with every new one */

static int configure(const mr_frame *f) {
	double half_life = f->param[HALF_LIFE];
	kept_per_row = half_life > 0 ? mr_exp(-(MR_LN2_HIGH + MR_LN2_LOW) / half_life) : 1;
	return 0;
}
MR_INIT(configure)

/* The unbiased standard deviation. A flat signal has none, and rounding must
 * not pass for one: hence at least a billionth of the mean. */
static double spread(const struct normal *n, double spread_min) {
	double freedom = n->weight - n->weight2 / n->weight;
	double sd = freedom > 0 ? __builtin_sqrt(n->squares / freedom) : 0;
	double least = __builtin_fabs(n->mean) * 1e-9;
	if (least < spread_min) least = spread_min;
	if (least < 1e-150) least = 1e-150;
	return sd > least ? sd : least;
}

static void learn(struct normal *n, double x) {
	n->weight = n->weight * kept_per_row + 1;
	n->weight2 = n->weight2 * (kept_per_row * kept_per_row) + 1;
	double off = x - n->mean;
	n->mean += off / n->weight;
	n->squares = n->squares * kept_per_row + off * (x - n->mean);
}

/* What is learnt from x, an anomaly. */
static void learn_anomaly(mr_row r, struct normal *n, double x, double sd) {
	double relearn = mr_param(r, RELEARN), reach = mr_param(r, THRESHOLD) * sd, off = x - n->mean;
	n->lasting++;
	if (relearn > 0 && n->lasting >= relearn) {
		*n = (struct normal){.rows = 1};
		learn(n, x);
	} else if (__builtin_fabs(off) <= 2 * reach) {
		learn(n, n->mean + __builtin_copysign(reach, off));
	}
}

static void judge(mr_row r, struct normal *n, double x) {
	double sd = spread(n, mr_param(r, SPREAD_MIN)), score = (x - n->mean) / sd;
	int anomaly = __builtin_fabs(score) > mr_param(r, THRESHOLD);
	mr_set(r, SCORE, score > SCORE_MAX ? SCORE_MAX : score < -SCORE_MAX ? -SCORE_MAX : score);
	mr_set_bool(r, ANOMALY, anomaly);
	if (anomaly) {
		learn_anomaly(r, n, x, sd);
		return;
	}
	n->lasting -= n->lasting < 2 ? n->lasting : 2;
	learn(n, x);
}

static void reading(mr_row r, struct normal *n) {
	mr_emit(r);
	double x = mr_num(r, 0);
	if (!(__builtin_fabs(x) < VALUE_END)) return; /* nothing to judge */
	if (n->rows > 0) mr_set(r, EXPECTED, n->mean);
	if (n->rows >= mr_param(r, WARMUP)) {
		judge(r, n, x);
		return;
	}
	mr_set_bool(r, ANOMALY, 0);
	n->rows++;
	learn(n, x);
}
MR_EACH_ROW(struct normal, reading)
