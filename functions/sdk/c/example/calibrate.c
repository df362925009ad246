/* calibrate: turns what a sensor reads into what it means, scale·x + offset,
 * and leaves a gap rather than a value that cannot be.
 */
#include "millrace.h"

MR_DESCRIBE({
	"name": "calibrate", "version": "1", "doc": "scale and offset, with a plausible range",
	"in": [{"name": "value", "type": "f64", "doc": "as read"}],
	"out": [
		{"name": "calibrated", "type": "f64", "doc": "scale * value + offset; none if outside lowest to highest"},
		{"name": "refused", "type": "i64", "doc": "how many values of this key were outside so far"}
	],
	"params": [
		{"name": "scale", "default": 1, "doc": "units per unit read"},
		{"name": "offset", "default": 0, "doc": "units"},
		{"name": "lowest", "default": -1e308, "doc": "units"},
		{"name": "highest", "default": 1e308, "doc": "units"}
	],
	"state": "slots", "state_version": 1, "heap": false, "raw": false, "timers": false, "variadic": false
})

/* The places of outputs and parameters above. */
enum { CALIBRATED, REFUSED };
enum { SCALE, OFFSET, LOWEST, HIGHEST };

/* What is kept for each key. It begins as zeros and survives restarts. */
struct state {
	int64_t refused;
};

static void reading(mr_row r, struct state *s) {
	double x = mr_num(r, 0) * mr_param(r, SCALE) + mr_param(r, OFFSET);
	if (x < mr_param(r, LOWEST) || x > mr_param(r, HIGHEST)) s->refused++;
	else mr_set(r, CALIBRATED, x); /* a missing value is NaN, and NaN sets nothing */
	mr_set_int(r, REFUSED, s->refused);
	mr_emit(r);
}
MR_EACH_ROW(struct state, reading)

/* Refuse what cannot be meant, before the first reading. */
static int check(const mr_frame *f) {
	if (f->param[LOWEST] <= f->param[HIGHEST]) return 0;
	mr_log(MR_ERROR, "calibrate: lowest is above highest");
	return -1;
}
MR_INIT(check)
