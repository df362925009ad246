/* texts: answers with sums over what it was handed, of every kind of column.
 * With RAW it wants topic and payload. */
#include "millrace.h"

#ifndef RAW
#define RAW false
#endif
#ifndef VERSION
#define VERSION 1
#endif

#define TEXT(x) #x
#define DESCRIBE(raw, version)                                                       \
	"{\"name\":\"texts\",\"version\":\"1\",\"in\":[{\"name\":\"t\",\"type\":\"text\"},"  \
	"{\"name\":\"b\",\"type\":\"bytes\"},{\"name\":\"i\",\"type\":\"i64\"},"            \
	"{\"name\":\"o\",\"type\":\"bool\"},{\"name\":\"f\",\"type\":\"f64\"}],"             \
	"\"out\":[{\"name\":\"sum\",\"type\":\"i64\"},{\"name\":\"has\",\"type\":\"i64\"},"  \
	"{\"name\":\"f\",\"type\":\"f64\"},{\"name\":\"odd\",\"type\":\"bool\"}],"           \
	"\"raw\":" TEXT(raw) ",\"state_version\":" TEXT(version) "}"

static const char manifest[] = DESCRIBE(RAW, VERSION);
MR_EXPORT("mr1_describe") uint64_t describe(void) {
	return (uint64_t)(uintptr_t)manifest << 32 | (sizeof manifest - 1);
}

struct state {
	int64_t rows;
};

static int64_t sum(const char *at, uint32_t len) {
	int64_t s = len;
	while (len--) s = s * 31 + (uint8_t)*at++;
	return s;
}

static void reading(mr_row r, struct state *s) {
	mr_frame *f = r.frame;
	mr_text t = mr_text_of(r, 0), b = mr_text_of(r, 1);
	int64_t all = sum(t.at, t.len) + 3 * sum(b.at, b.len) + mr_int(r, 2) + mr_bool(r, 3) + ++s->rows;
	if (f->topic_off) {
		all += 5 * sum((char *)f->topics + f->topic_off[r.i], f->topic_off[r.i + 1] - f->topic_off[r.i]);
		all += 7 * sum((char *)f->payloads + f->payload_off[r.i], f->payload_off[r.i + 1] - f->payload_off[r.i]);
	}
	int has = 0;
	for (uint32_t k = 0; k < f->columns; k++) has |= mr_has(r, k) << k;
	mr_set_int(r, 0, all);
	mr_set_int(r, 1, has);
	if (mr_has(r, 4)) mr_set(r, 2, mr_num(r, 4));
	((double *)f->ocol[2].data)[r.i] += 1e-300; /* also where it has no value: none of it may show */
	f->ocol[3].data && (((uint8_t *)f->ocol[3].data)[r.i] = (uint8_t)(all & 1 ? 77 : 0));
	if (all & 1) mr_set_valid(r, 3);
	if (all % 7) mr_emit(r);
}
MR_EACH_ROW(struct state, reading)
