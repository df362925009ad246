/* top.h: the most frequent values, in a fixed 1,288 bytes: A. Metwally,
 * D. Agrawal, A. El Abbadi, Efficient computation of frequent and top-k
 * elements in data streams, ICDT 2005 (Space-Saving). Counts are exact for up
 * to 32 different values; of more, every value that is more than 1/32 of all
 * is among those kept.
 */
#pragma once
#include <stdint.h>

enum { COUNTERS = 32, WORDS = 4 };

struct counter {
	uint64_t item[WORDS];
	uint64_t count;
};

/* All zeros is empty. Counters stand in the order in which their values came. */
struct top {
	uint64_t used;
	struct counter counter[COUNTERS];
};

static inline int same_item(const uint64_t *a, const uint64_t *b) {
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

static int top_find(const struct top *t, const uint64_t *item) {
	for (uint32_t k = 0; k < t->used; k++)
		if (same_item(t->counter[k].item, item)) return (int)k;
	return -1;
}

/* The first of the smallest counters. */
static uint32_t top_least(const struct top *t) {
	uint32_t least = 0;
	for (uint32_t k = 1; k < t->used; k++)
		if (t->counter[k].count < t->counter[least].count) least = k;
	return least;
}

static void top_add(struct top *t, const uint64_t *item) {
	int at = top_find(t, item);
	if (at < 0) {
		at = t->used < COUNTERS ? (int)t->used++ : (int)top_least(t);
		__builtin_memcpy(t->counter[at].item, item, sizeof t->counter[at].item);
	}
	t->counter[at].count++;
}

/* What a value that has no counter may have been counted at most. */
static uint64_t top_missed(const struct top *t) {
	return t->used < COUNTERS ? 0 : t->counter[top_least(t)].count;
}

/* M. Cafaro, M. Pulimeno, P. Tempesta, A parallel space saving algorithm for
 * frequent items and the Hurwitz zeta distribution, Information Sciences 329
 * (2016): counters of both, of which the greatest stay. */
static void top_merge(struct top *t, const struct top *from) {
	uint64_t missed = top_missed(t), missed_from = top_missed(from);
	struct counter all[2 * COUNTERS];
	uint32_t n = 0;
	for (uint32_t k = 0; k < t->used; k++) {
		int at = top_find(from, t->counter[k].item);
		all[n] = t->counter[k];
		all[n++].count += at < 0 ? missed_from : from->counter[at].count;
	}
	for (uint32_t k = 0; k < from->used; k++) {
		if (top_find(t, from->counter[k].item) >= 0) continue;
		all[n] = from->counter[k];
		all[n++].count += missed;
	}
	while (n > COUNTERS) { /* drop the last of the smallest */
		uint32_t least = 0;
		for (uint32_t k = 1; k < n; k++)
			if (all[k].count <= all[least].count) least = k;
		n--;
		for (uint32_t k = least; k < n; k++) all[k] = all[k + 1];
	}
	for (uint32_t k = 0; k < n; k++) t->counter[k] = all[k];
	t->used = n;
}

/* The greatest counter that is not among those taken, or null; of equals the
 * one whose value came first. */
static const struct counter *top_next(const struct top *t, uint32_t *taken) {
	int best = -1;
	for (uint32_t k = 0; k < t->used; k++)
		if (!(*taken >> k & 1) && (best < 0 || t->counter[k].count > t->counter[best].count)) best = (int)k;
	if (best < 0) return 0;
	*taken |= 1u << best;
	return &t->counter[best];
}
