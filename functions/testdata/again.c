/* again: a timer that sets itself once more, each time. */
#include "millrace.h"

MR_DESCRIBE({
	"name": "again", "version": "1", "out": [{"name": "n", "type": "i64"}], "timers": true
})

struct state {
	int64_t n;
};

static void reading(mr_row r, struct state *s) {
	mr_set_int(r, 0, s->n);
	mr_emit(r);
	mr_timer(r, mr_time(r));
}

static void tick(mr_row r, struct state *s) {
	mr_timer(r, mr_time(r));
	s->n++;
}
MR_EACH_ROW_AND_TICK(struct state, reading, tick)
