//go:build ignore

/* rate-of-change: how fast a value changes, per second of event time, from one
 * reading of a key to the next.
 */
#include "millrace.h"
#include "millrace_math.h"

MR_DESCRIBE({
	"name": "rate-of-change", "version": "1", "doc": "how fast a value changes, per second",
	"in": [{"name": "value", "type": "f64", "doc": "what changes"}],
	"out": [
		{"name": "rate", "type": "f64", "doc": "change per second since the reading before; none for the first one"},
		{"name": "exceeded", "type": "bool", "doc": "whether the rate, up or down, is more than the limit"}
	],
	"params": [
		{"name": "limit", "default": 1e308, "min": 0, "doc": "units per second; 1e308: no limit"},
		{"name": "gap_max", "default": 0, "min": 0, "max": 31536000, "doc": "seconds; readings further apart are not compared; 0: however far"},
		{"name": "interval_min", "default": 0, "min": 0, "max": 31536000, "doc": "seconds; a reading sooner after the one compared with gets no rate"}
	],
	"state": "slots", "state_version": 1, "heap": false, "raw": false, "timers": false, "variadic": false
})

enum { RATE, EXCEEDED };
enum { LIMIT, GAP_MAX, INTERVAL_MIN };

struct reference {
	int64_t time;
	double value;
	int64_t any;
};

static void reading(mr_row r, struct reference *ref) {
	mr_emit(r);
	mr_set_bool(r, EXCEEDED, 0);
	double x = mr_num(r, 0), seconds = (double)(mr_time(r) - ref->time) * 1e-6;
	if (!mr_finite(x)) return;
	if (ref->any) {
		if (seconds <= 0) return; /* not newer than the one compared with */
		if (seconds < mr_param(r, INTERVAL_MIN)) return;
		if (mr_param(r, GAP_MAX) == 0 || seconds <= mr_param(r, GAP_MAX)) {
			double rate = (x - ref->value) / seconds;
			mr_set(r, RATE, rate);
			mr_set_bool(r, EXCEEDED, __builtin_fabs(rate) > mr_param(r, LIMIT));
		}
	}
	*ref = (struct reference){.time = mr_time(r), .value = x, .any = 1};
}
MR_EACH_ROW(struct reference, reading)
