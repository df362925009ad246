/* sketch.h: quantiles in a fixed 1,540 bytes, with a bound on their error.
 *
 * C. Masson, J. E. Rim, H. K. Lee, DDSketch: a fast and fully-mergeable
 * quantile sketch with relative-error guarantees, PVLDB 12 (2019): bucket i
 * counts the values in (γ^(i-1), γ^i]. With γ = 1.01/0.99, the value
 * 2γ^i/(γ+1) is within 1 % of each of them.
 *
 * Negative values have buckets of their own, and so has zero. Only buckets
 * that are not empty take room, 256 in all, so up to 256 different values are
 * always within 1 %, and any number of values whose largest is 167 times
 * their smallest. When the buckets run out, neighbours are joined in pairs and
 * γ becomes γ²: I. Epicoco, C. Melle, M. Cafaro, M. Pulimeno, G. Morleo,
 * UDDSketch: accurate tracking of quantiles in data streams, IEEE Access 8
 * (2020). Every quantile stays trustworthy: within 2 % up to a ratio of
 * 27,800, 4 % up to 7·10⁸, 8 % up to 6·10¹⁷ (positive and negative values
 * share the buckets).
 *
 * Magnitudes below 1e-140 count as zero, those above 1e140 as 1e140.
 */
#pragma once
#include "millrace_math.h"

enum { BUCKETS_MAX = 256, LEVEL_MAX = 14 };

/* All zeros is an empty sketch. Buckets are in ascending order of value. */
struct sketch {
	uint32_t count[BUCKETS_MAX];
	int16_t key[BUCKETS_MAX];
	uint16_t used, level; /* level: how often γ has been squared */
};

#define LN_GAMMA 0x1.47b0e059d0597p-6 /* ln(1.01/0.99) */
#define LN_GAMMA_INVERSE (1 / LN_GAMMA)

/* A bucket's key keeps the order of the values: i + 16384 for (γ^(i-1), γ^i],
 * the same negative for negative values, and 0 for zero. */
enum { KEY_OF_ONE = 16384 };

static inline int sketch_key(double x, uint32_t level) {
	double size = __builtin_fabs(x);
	if (size < 1e-140) return 0;
	if (size > 1e140) size = 1e140;
	double per_bucket = LN_GAMMA_INVERSE / (double)(1u << level);
	int key = KEY_OF_ONE + (int)__builtin_ceil(mr_ln(size) * per_bucket);
	return x < 0 ? -key : key;
}

/* The value that stands for a bucket. */
static double sketch_value(int key, uint32_t level) {
	if (key == 0) return 0;
	double width = LN_GAMMA * (double)(1u << level);
	int i = (key < 0 ? -key : key) - KEY_OF_ONE;
	double value = mr_exp(i * width) * 2 / (mr_exp(width) + 1);
	return key < 0 ? -value : value;
}

/* The key that holds this bucket's values once γ is squared: ⌈i/2⌉. */
static inline int sketch_joined(int key) {
	if (key == 0) return 0;
	int i = (key < 0 ? -key : key) - KEY_OF_ONE;
	int joined = KEY_OF_ONE + ((i + 1) >> 1);
	return key < 0 ? -joined : joined;
}

static inline uint32_t sketch_sum(uint32_t a, uint32_t b) { return a + b < a ? UINT32_MAX : a + b; }

/* Join neighbours in pairs. */
static void sketch_coarsen(struct sketch *s) {
	uint32_t to = 0;
	for (uint32_t from = 0; from < s->used; from++) {
		int key = sketch_joined(s->key[from]);
		uint32_t count = s->count[from];
		if (to > 0 && s->key[to - 1] == key) {
			s->count[to - 1] = sketch_sum(s->count[to - 1], count);
			continue;
		}
		s->key[to] = (int16_t)key;
		s->count[to++] = count;
	}
	s->used = (uint16_t)to;
	s->level++;
}

/* Join neighbours until a bucket is free. At level 14 there are 7 at most. */
static void sketch_collapse(struct sketch *s) {
	while (s->used == BUCKETS_MAX && s->level < LEVEL_MAX) sketch_coarsen(s);
}

/* The place of the first bucket that is not below key. No branch depends on
 * the keys: a wrong guess by the processor costs more than a step. */
static inline uint32_t sketch_find(const struct sketch *s, int key) {
	uint32_t at = 0;
	for (uint32_t rest = s->used; rest > 0;) {
		uint32_t half = (rest + 1) >> 1;
		at += s->key[at + half - 1] < key ? half : 0;
		rest -= half;
	}
	return at;
}

static void sketch_insert(struct sketch *s, uint32_t at, int key) {
	uint32_t behind = s->used - at;
	__builtin_memmove(&s->key[at + 1], &s->key[at], behind * sizeof s->key[0]);
	__builtin_memmove(&s->count[at + 1], &s->count[at], behind * sizeof s->count[0]);
	s->key[at] = (int16_t)key;
	s->count[at] = 0;
	s->used++;
}

static void sketch_add(struct sketch *s, double x) {
	int key = sketch_key(x, s->level);
	uint32_t at = sketch_find(s, key);
	if (at == s->used || s->key[at] != key) {
		if (s->used == BUCKETS_MAX) {
			sketch_collapse(s);
			key = sketch_key(x, s->level);
			at = sketch_find(s, key);
		}
		if (at == s->used || s->key[at] != key) sketch_insert(s, at, key);
	}
	s->count[at] = sketch_sum(s->count[at], 1);
}

/* Add what another sketch holds. The coarser of the two says how coarse it gets. */
static void sketch_merge(struct sketch *s, const struct sketch *from) {
	while (s->level < from->level && s->level < LEVEL_MAX) sketch_coarsen(s);
	for (uint32_t k = 0; k < from->used; k++) {
		int key = from->key[k];
		for (uint32_t level = from->level; level < s->level; level++) key = sketch_joined(key);
		uint32_t at = sketch_find(s, key);
		if (s->used == BUCKETS_MAX && s->key[at < s->used ? at : 0] != key) {
			uint32_t before = s->level;
			sketch_collapse(s);
			for (uint32_t level = before; level < s->level; level++) key = sketch_joined(key);
			at = sketch_find(s, key);
		}
		if (at == s->used || s->key[at] != key) sketch_insert(s, at, key);
		s->count[at] = sketch_sum(s->count[at], from->count[k]);
	}
}

/* The smallest value that at least the share q of all values does not exceed
 * (nearest rank), within the bound above. */
static double sketch_quantile(const struct sketch *s, double q) {
	double n = 0, below = 0;
	for (uint32_t k = 0; k < s->used; k++) n += s->count[k];
	double rank = __builtin_ceil(q * n - 1e-9); /* 0.07·100 is 7.000000000000001 */
	for (uint32_t k = 0; k < s->used; k++) {
		below += s->count[k];
		if (below >= rank) return sketch_value(s->key[k], s->level);
	}
	return __builtin_nan("");
}
