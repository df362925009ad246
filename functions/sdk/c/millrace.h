/* millrace.h: write a function for millrace in C. Function ABI 1.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A function gets readings as rows of named, typed columns and answers in
 * columns of its own. It keeps a struct of state for every key (every device,
 * say). The host zeroes that struct, hands it over, saves it and restores it:
 * keep plain numbers in it, no pointers. There is no clock, no file, no network
 * and no libc; the same rows always give the same results.
 *
 *	#include "millrace.h"
 *
 *	MR_DESCRIBE({
 *		"name": "counted", "version": "1", "doc": "numbers the readings of each key",
 *		"in": [{"name": "value", "type": "f64"}],
 *		"out": [{"name": "n", "type": "f64"}]
 *	})
 *
 *	struct state { double n; };
 *
 *	static void reading(mr_row r, struct state *s) {
 *		mr_set(r, 0, ++s->n);
 *		mr_emit(r);
 *	}
 *	MR_EACH_ROW(struct state, reading)
 *
 * Build it (README.md beside this file has the exact lines) and name it in a
 * pipeline: `function: ./counted.wasm`. All times are µs since 1970, UTC.
 */
#pragma once
#include <stdint.h>

/* ---- The frame: one call. The host owns everything in it. ---------------- */

enum { MR_F64 = 1, MR_I64, MR_BOOL, MR_TEXT, MR_BYTES }; /* kinds of column */
enum { MR_ROWS = 0, MR_TICK = 1 };                       /* kinds of frame */

/* A column has a value for each row. valid is a bitmap, least significant bit
 * first, or null when every row has a value. data is double[], int64_t[],
 * uint8_t[] for bool (0 or 1), or bytes: text i is data[off[i]] to data[off[i+1]]. */
typedef struct {
	uint32_t kind;
	uint8_t *valid;
	void *data;
	const uint32_t *off;
} mr_column;

typedef struct {
	uint32_t size;               /*  0  bytes of this struct; it may grow at the end */
	uint32_t rows;               /*  4 */
	uint32_t kind;               /*  8  MR_ROWS or MR_TICK */
	uint32_t columns;            /* 12  how many `col` points at; 0 in a tick */
	int64_t now;                 /* 16 */
	const int64_t *time;         /* 24  event time of each row; in a tick, when it was due */
	void **slot;                 /* 28  the slot of each row's key: int64_t timer, then your struct */
	const uint32_t *topic_off;   /* 32  these four only if the manifest says "raw": true */
	const uint8_t *topics;       /* 36 */
	const uint32_t *payload_off; /* 40 */
	const uint8_t *payloads;     /* 44 */
	const mr_column *col;        /* 48  inputs, in manifest order */
	uint32_t outs;               /* 52  how many `ocol` points at */
	mr_column *ocol;             /* 56  outputs, in manifest order; all without a value at first */
	uint8_t *emit;               /* 60  what becomes of each row; 0 at first: it ends here */
	uint8_t *out;                /* 64  room for free-form records */
	uint32_t out_cap;            /* 68 */
	uint32_t out_len;            /* 72 */
	const double *param;         /* 76  `with:` values, in manifest order */
	uint32_t params;             /* 80 */
	uint32_t reserved;           /* 84 */
	const int64_t *mark;         /* 88  the watermark once each row is counted */
} mr_frame;

_Static_assert(sizeof(void *) == 4, "build for wasm32: clang --target=wasm32");
_Static_assert(sizeof(mr_column) == 16 && sizeof(mr_frame) == 96, "the layout of ABI 1");
_Static_assert(__builtin_offsetof(mr_frame, mark) == 88, "the layout of ABI 1");

/* A row of a frame. Cheap: pass it by value. */
typedef struct {
	mr_frame *frame;
	uint32_t i;
} mr_row;

/* ---- Reading. `c` is the column's place in the manifest's "in". ---------- */

/* Whether column c has a value in this row. A tick has no columns. */
static inline int mr_has(mr_row r, uint32_t c) {
	const uint8_t *valid = r.frame->col[c].valid;
	return !valid || (valid[r.i >> 3] >> (r.i & 7) & 1);
}

/* The number in an f64 column; NaN when there is none. */
static inline double mr_num(mr_row r, uint32_t c) {
	return mr_has(r, c) ? ((const double *)r.frame->col[c].data)[r.i] : __builtin_nan("");
}

/* The value of an i64 or a bool column; 0 when there is none (see mr_has). */
static inline int64_t mr_int(mr_row r, uint32_t c) { return ((const int64_t *)r.frame->col[c].data)[r.i]; }
static inline int mr_bool(mr_row r, uint32_t c) { return ((const uint8_t *)r.frame->col[c].data)[r.i]; }

/* The content of a text or bytes column; empty when there is none. It is not
 * ended by a zero and lives as long as the call. */
typedef struct {
	const char *at;
	uint32_t len;
} mr_text;
static inline mr_text mr_text_of(mr_row r, uint32_t c) {
	const mr_column *col = &r.frame->col[c];
	return (mr_text){(const char *)col->data + col->off[r.i], col->off[r.i + 1] - col->off[r.i]};
}

/* Event time, or in a tick when it was due; µs. */
static inline int64_t mr_time(mr_row r) { return r.frame->time[r.i]; }

/* The value of parameter k of the manifest's "params", checked by the host
 * against its min and max. */
static inline double mr_param(mr_row r, uint32_t k) { return r.frame->param[k]; }

/* ---- Answering. `k` is the column's place in the manifest's "out". ------- */

static inline void mr_set_valid(mr_row r, uint32_t k) {
	r.frame->ocol[k].valid[r.i >> 3] |= (uint8_t)(1u << (r.i & 7));
}

/* Set an output. NaN says "no value", so what is computed from a missing
 * reading is missing too. An output that is never set has no value. */
static inline void mr_set(mr_row r, uint32_t k, double v) {
	if (v != v) return;
	((double *)r.frame->ocol[k].data)[r.i] = v;
	mr_set_valid(r, k);
}
static inline void mr_set_int(mr_row r, uint32_t k, int64_t v) {
	((int64_t *)r.frame->ocol[k].data)[r.i] = v;
	mr_set_valid(r, k);
}
static inline void mr_set_bool(mr_row r, uint32_t k, int v) {
	((uint8_t *)r.frame->ocol[k].data)[r.i] = v != 0;
	mr_set_valid(r, k);
}

/* Let the row go on, with the outputs added to its columns. */
static inline void mr_emit(mr_row r) { r.frame->emit[r.i] = 1; }

/* Set the row aside as a dead letter. */
static inline void mr_dead(mr_row r) { r.frame->emit[r.i] = 2; }

/* ---- Timers: say "timers": true and use MR_EACH_ROW_AND_TICK. ------------ */

/* Ask for a tick of this key once the watermark reaches `at` (µs, not 0). One
 * timer a key: a later call moves it. It is off again before the tick runs. */
static inline void mr_timer(mr_row r, int64_t at) { *(int64_t *)r.frame->slot[r.i] = at; }
static inline void mr_timer_off(mr_row r) { mr_timer(r, 0); }

/* ---- Talking to the operator. -------------------------------------------- */

enum { MR_DEBUG = 0, MR_INFO, MR_WARN, MR_ERROR };
__attribute__((import_module("millrace"), import_name("log")))
void mr_log_bytes(uint32_t level, const char *text, uint32_t len);

/* Log a string constant: mr_log(MR_ERROR, "low is above high"). */
#define mr_log(level, constant) mr_log_bytes(level, constant, sizeof(constant) - 1)

/* ---- What the host calls. ------------------------------------------------- */

#define MR_EXPORT(name) __attribute__((export_name(name)))

/* The manifest, plain JSON between the parentheses. Each text is one "…". */
#define MR_DESCRIBE(...)                                                     \
	static const char mr_manifest[] = #__VA_ARGS__;                          \
	MR_EXPORT("mr1_describe") uint64_t mr_describe(void) {                   \
		return (uint64_t)(uintptr_t)mr_manifest << 32 | (sizeof mr_manifest - 1); \
	}

/* Optional: int check(const mr_frame *f) runs once, with the parameters set
 * and no rows. A negative answer refuses them; say why with mr_log. */
#define MR_INIT(check) \
	MR_EXPORT("mr1_init") int32_t mr_init(const mr_frame *f) { return check(f); }

#define MR_SLOT(state)                                                       \
	typedef struct { int64_t timer; state of_key; } mr_slot;                 \
	MR_EXPORT("mr1_state") uint32_t mr_state(void) { return sizeof(mr_slot); }

#define MR_RUN(f, on_row)                                                    \
	for (uint32_t i = 0; i < (f)->rows; i++)                                 \
		on_row((mr_row){f, i}, &((mr_slot *)(f)->slot[i])->of_key)

/* void on_row(mr_row, state *) for each reading. */
#define MR_EACH_ROW(state, on_row)                                           \
	MR_SLOT(state)                                                           \
	MR_EXPORT("mr1_frame") int32_t mr_on_frame(mr_frame *f) {                \
		if (f->kind == MR_ROWS) MR_RUN(f, on_row);                           \
		return 0;                                                            \
	}

/* The same, and void on_tick(mr_row, state *) for each timer that is due. */
#define MR_EACH_ROW_AND_TICK(state, on_row, on_tick)                         \
	MR_SLOT(state)                                                           \
	MR_EXPORT("mr1_frame") int32_t mr_on_frame(mr_frame *f) {                \
		if (f->kind == MR_ROWS) {                                            \
			MR_RUN(f, on_row);                                               \
			return 0;                                                        \
		}                                                                    \
		for (uint32_t i = 0; i < f->rows; i++) mr_timer_off((mr_row){f, i}); \
		MR_RUN(f, on_tick);                                                  \
		return 0;                                                            \
	}

/* Room for frames and slots, asked for by the host; 8-byte aligned, never
 * freed, null when memory is used up. Yours to use as well, in mr1_init. */
extern unsigned char __heap_base;
static uint32_t mr_heap_top;
MR_EXPORT("mr1_alloc") void *mr_alloc(uint32_t bytes) {
	uint64_t at = mr_heap_top ? mr_heap_top : ((uint64_t)(uintptr_t)&__heap_base + 7) & ~7ull;
	uint64_t end = (at + bytes + 7) & ~7ull;
	uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) << 16;
	if (end > 0xffffffffull) return 0;
	if (end > have && __builtin_wasm_memory_grow(0, (uint32_t)((end - have + 65535) >> 16)) == (uint32_t)-1) return 0;
	mr_heap_top = (uint32_t)end;
	return (void *)(uint32_t)at;
}
