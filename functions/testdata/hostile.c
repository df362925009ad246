/* hostile: misbehaves on the value 13 in the way of the parameter `how`, and
 * otherwise numbers the readings of each key. */
#include "millrace.h"

MR_DESCRIBE({
	"name": "hostile", "version": "1", "doc": "misbehaves on the value 13",
	"in": [{"name": "value", "type": "f64"}],
	"out": [{"name": "n", "type": "i64"}],
	"params": [{"name": "how", "default": 0, "min": 0, "max": 100}],
	"state": "slots", "state_version": 1, "timers": false
})

enum { NOTHING, TRAP, LOOP, RECURSE, EAT, EMIT, FLOOD, FAIL, WILD, FILL, OUTPUT, DEAD, DIVIDE, FRAME };

struct state {
	int64_t n;
};

static volatile uint32_t sink;
char scratch[1 << 15];

__attribute__((noinline)) static uint32_t deeper(uint32_t n) {
	sink++;
	return n ? deeper(n + 1) + sink : 0;
}

/* A trap leaves the stack pointer where it is: a kilobyte lower. */
__attribute__((noinline)) static void trap(uint32_t n) {
	volatile uint32_t here[256];
	here[n & 255] = n;
	__builtin_trap();
}

static int fail;

static void misbehave(mr_row r, struct state *s) {
	mr_frame *f = r.frame;
	s->n += 1000; /* to be put back */
	switch ((int)mr_param(r, 0)) {
	case TRAP: trap(r.i);
	case LOOP:
		for (;;) sink++;
	case RECURSE: sink = deeper(1); break;
	case EAT:
		while (__builtin_wasm_memory_grow(0, 1) != (uint32_t)-1) sink++;
		__builtin_trap();
	case EMIT: f->emit[r.i] = 7; break;
	case FLOOD:
		for (;;) mr_log(MR_INFO, "and again");
	case FAIL: fail = 1; break;
	case WILD: *(volatile uint32_t *)0xfffffff0u = 1; break;
	case FILL:
		for (;;) __builtin_memset(scratch, (int)++sink, sizeof scratch);
	case OUTPUT: f->out_len = 5; break;
	case DEAD: mr_dead(r); break;
	case DIVIDE: s->n /= sink - sink; break;
	case FRAME: /* whatever it does to the frame is not believed */
		f->slot = 0;
		f->col = 0;
		f->rows = 0x7fffffff;
		f->time = 0;
		f->emit = 0;
		f->ocol = 0;
		break;
	}
}

static void reading(mr_row r, struct state *s) {
	mr_set_int(r, 0, ++s->n);
	mr_emit(r);
	if (mr_num(r, 0) == 13) misbehave(r, s);
}

MR_SLOT(struct state)
MR_EXPORT("mr1_frame") int32_t on_frame(mr_frame *f) {
	fail = 0;
	uint32_t rows = f->rows;
	for (uint32_t i = 0; i < rows && f->slot; i++) reading((mr_row){f, i}, &((mr_slot *)f->slot[i])->of_key);
	return fail ? -3 : 0;
}
