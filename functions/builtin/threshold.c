//go:build ignore

/* threshold: an alarm that begins when a value is beyond a limit for long
 * enough, and ends when it is well inside again.
 *
 *	above ────────────────╮ hold ╭─ alarm begins
 *	                   ╱▔▔▔▔▔▔▔▔▔▔▔▔▔╲
 *	above - hysteresis ───────────────╲── alarm ends
 *
 * The same with below, upside down. The terms elsewhere are deadband and
 * on-delay (ANSI/ISA-18.2).
 */
#include "millrace.h"

MR_DESCRIBE({
	"name": "threshold", "version": "1", "doc": "an alarm with limits, hysteresis and a hold time",
	"in": [{"name": "value", "type": "f64", "doc": "what is compared"}],
	"out": [
		{"name": "alarm", "type": "bool", "doc": "whether there is an alarm"},
		{"name": "changed", "type": "bool", "doc": "whether it began, ended or changed sides with this row"},
		{"name": "side", "type": "i64", "doc": "1: too high, -1: too low, 0: no alarm"}
	],
	"params": [
		{"name": "above", "default": 1e308, "doc": "too high is more than this; 1e308: no such limit"},
		{"name": "below", "default": -1e308, "doc": "too low is less than this; -1e308: no such limit"},
		{"name": "hysteresis", "default": 0, "min": 0, "doc": "how far inside the limit the value must be to end the alarm"},
		{"name": "hold", "default": 0, "min": 0, "max": 31536000, "doc": "seconds beyond the limit before the alarm begins"},
		{"name": "emit_all", "default": 1, "min": 0, "max": 1, "doc": "1: every row goes on; 0: only those with a change"}
	],
	"state": "slots", "state_version": 1, "heap": false, "raw": false, "timers": true, "variadic": false
})

enum { ALARM, CHANGED, SIDE };
enum { ABOVE, BELOW, HYSTERESIS, HOLD, EMIT_ALL };

struct alarm {
	int64_t last;    /* event time of the newest reading seen */
	int64_t since;   /* since when a reading has been beyond the limit `waiting` */
	int32_t side;    /* 1, -1, or 0: no alarm */
	int32_t waiting; /* the side that is being held, or 0 */
	int32_t any;     /* whether there was a reading at all */
};

static int configure(const mr_frame *f) {
	double above = f->param[ABOVE], below = f->param[BELOW];
	if (above >= 1e308 && below <= -1e308) {
		mr_log(MR_ERROR, "threshold: set above, below or both");
		return -1;
	}
	if (below > above - f->param[HYSTERESIS]) {
		mr_log(MR_ERROR, "threshold: below, above and hysteresis overlap: an alarm could never end");
		return -1;
	}
	return 0;
}
MR_INIT(configure)

static void answer(mr_row r, const struct alarm *a, int changed) {
	mr_set_bool(r, ALARM, a->side != 0);
	mr_set_bool(r, CHANGED, changed);
	mr_set_int(r, SIDE, a->side);
	if (changed || mr_param(r, EMIT_ALL) >= 0.5) mr_emit(r);
}

static int side_of(mr_row r, double x) { return x > mr_param(r, ABOVE) ? 1 : x < mr_param(r, BELOW) ? -1 : 0; }

/* Whether an alarm on this side goes on. */
static int persists(mr_row r, int side, double x) {
	double h = mr_param(r, HYSTERESIS);
	return side > 0 ? x > mr_param(r, ABOVE) - h : side < 0 ? x < mr_param(r, BELOW) + h : 0;
}

/* wait notes that the reading is beyond a limit, and answers whether the
 * alarm begins now. */
static int wait(mr_row r, struct alarm *a, int side) {
	int64_t hold = (int64_t)(mr_param(r, HOLD) * 1e6);
	if (a->waiting != side) {
		a->waiting = side;
		a->since = mr_time(r);
	}
	if (mr_time(r) - a->since < hold) {
		mr_timer(r, a->since + hold);
		return 0;
	}
	return 1;
}

static void follow(mr_row r, struct alarm *a, double x) {
	int before = a->side, beyond = side_of(r, x);
	if (!persists(r, a->side, x)) a->side = 0;
	if (beyond && beyond != a->side) {
		if (!wait(r, a, beyond)) {
			answer(r, a, a->side != before);
			return;
		}
		a->side = beyond;
	}
	a->waiting = 0;
	mr_timer_off(r);
	answer(r, a, a->side != before);
}

static void reading(mr_row r, struct alarm *a) {
	double x = mr_num(r, 0);
	if (x != x || (a->any && mr_time(r) < a->last)) { /* no value, or older than one already seen */
		answer(r, a, 0);
		return;
	}
	a->any = 1;
	a->last = mr_time(r);
	follow(r, a, x);
}

/* The hold time is over and no reading has said otherwise. */
static void held(mr_row r, struct alarm *a) {
	if (!a->waiting) return;
	a->side = a->waiting;
	a->waiting = 0;
	answer(r, a, 1);
}
MR_EACH_ROW_AND_TICK(struct alarm, reading, held)
