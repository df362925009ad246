/* course.h: how a value went over time, in a fixed 304 bytes, for its integral
 * by the trapezoidal rule.
 *
 * Readings may come out of order: the latest 16 wait, in the order of time,
 * and only the oldest of them is added up when there are more. So a reading
 * that up to 16 later ones have overtaken takes its place; one that more have
 * overtaken is passed over.
 */
#pragma once
#include <stdint.h>

enum { WAITING_MAX = 16 }; /* a power of two */

struct point {
	int64_t time; /* µs */
	double value;
};

/* All zeros is an empty course. */
struct course {
	struct point first, last;    /* of those added up */
	double area;                 /* under them, value · µs */
	uint32_t begun;              /* whether there are any */
	uint16_t head, len;          /* of waiting, a ring in the order of time */
	struct point waiting[WAITING_MAX];
};

static inline struct point *course_at(struct course *c, uint32_t k) {
	return &c->waiting[(c->head + k) % WAITING_MAX];
}

static inline double trapezoid(const struct point *a, const struct point *b) {
	return (double)(b->time - a->time) * (a->value + b->value) * 0.5;
}

static void course_add_up(struct course *c, struct point p) {
	if (c->begun) c->area += trapezoid(&c->last, &p);
	else c->first = p;
	c->begun = 1;
	c->last = p;
}

static void course_add(struct course *c, double value, int64_t time) {
	struct point p = {time, value};
	if (c->begun && time < c->last.time) return;
	if (c->len == WAITING_MAX) {
		if (time < course_at(c, 0)->time) {
			course_add_up(c, p);
			return;
		}
		course_add_up(c, *course_at(c, 0));
		c->head = (c->head + 1) % WAITING_MAX;
		c->len--;
	}
	uint32_t at = c->len++;
	for (; at > 0 && course_at(c, at - 1)->time > time; at--) *course_at(c, at) = *course_at(c, at - 1);
	*course_at(c, at) = p;
}

static void course_finish(struct course *c) {
	for (uint32_t k = 0; k < c->len; k++) course_add_up(c, *course_at(c, k));
	c->head = c->len = 0;
}

/* Add a course that is later in time. */
static void course_merge(struct course *c, const struct course *later) {
	struct course from = *later;
	if (!from.begun) {
		for (uint32_t k = 0; k < from.len; k++) course_add(c, course_at(&from, k)->value, course_at(&from, k)->time);
		return;
	}
	course_finish(c);
	if (c->begun) {
		from.area += c->area + trapezoid(&c->last, &from.first);
		from.first = c->first;
	}
	*c = from;
}

/* The area under all n readings, and the time it covers, µs. The first and the
 * last reading hold to the edges of the window, but no further than readings
 * are apart on average. */
static double course_area(const struct course *course, uint64_t n, int64_t start, int64_t end, double *covered) {
	struct course c = *course;
	course_finish(&c);
	double span = (double)(c.last.time - c.first.time), apart = n > 1 ? span / (double)(n - 1) : 0;
	double before = (double)(c.first.time - start), after = (double)(end - c.last.time);
	before = before < 0 ? 0 : before > apart ? apart : before;
	after = after < 0 ? 0 : after > apart ? apart : after;
	*covered = before + span + after;
	return c.first.value * before + c.area + c.last.value * after;
}
