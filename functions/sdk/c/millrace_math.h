/* millrace_math.h: logarithm and exponential without libc.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Only sums, products and one division of doubles, which WebAssembly rounds
 * alike on every machine: the result has the same bits everywhere. Tested
 * against 200-bit arithmetic: never further than 2 units in the last place.
 * (Square root, absolute value, floor and ceiling are instructions:
 * __builtin_sqrt, __builtin_fabs, __builtin_floor, __builtin_ceil.)
 */
#pragma once
#include <stdint.h>

/* ln 2 in two parts; the first has 29 bits, so that its product with an
 * exponent is exact. */
#define MR_LN2_HIGH 0x1.62e42ffp-1
#define MR_LN2_LOW -0x1.718432a1b0e26p-35

static inline uint64_t mr_bits(double x) {
	uint64_t u;
	__builtin_memcpy(&u, &x, 8);
	return u;
}
static inline double mr_from_bits(uint64_t u) {
	double x;
	__builtin_memcpy(&x, &u, 8);
	return x;
}

/* Whether x is a number and not infinite. */
static inline int mr_finite(double x) { return x - x == 0; }

/* The natural logarithm: x = 2^e·m with m in [√½, √2), and
 * ln m = 2·atanh(s) = 2(s + s³/3 + s⁵/5 + …) with s = (m-1)/(m+1). */
static inline double mr_ln(double x) {
	if (!(x > 0)) return x == 0 ? -__builtin_inf() : __builtin_nan("");
	if (!mr_finite(x)) return x;
	int e = 0;
	if (x < 0x1p-1022) {
		x *= 0x1p54;
		e = -54;
	}
	uint64_t u = mr_bits(x);
	e += (int)(u >> 52) - 1023;
	double m = mr_from_bits((u & 0xfffffffffffffull) | 0x3ff0000000000000ull);
	if (m >= 0x1.6a09e667f3bcdp0) {
		m *= 0.5;
		e++;
	}
	double s = (m - 1) / (m + 1), z = s * s, z2 = z * z; /* two short chains are faster than one long */
	double odd = 1. / 3 + z2 * (1. / 7 + z2 * (1. / 11 + z2 * (1. / 15 + z2 * (1. / 19))));
	double even = 1. / 5 + z2 * (1. / 9 + z2 * (1. / 13 + z2 * (1. / 17 + z2 * (1. / 21))));
	double series = z * (odd + z * even);
	double two_s = s + s;
	return e * MR_LN2_HIGH + (two_s + (two_s * series + e * MR_LN2_LOW));
}

/* The exponential: x = k·ln 2 + r with |r| ≤ ½·ln 2, and the series of e^r. */
static inline double mr_exp(double x) {
	if (x != x) return x;
	if (x > 709.79) return __builtin_inf();
	if (x < -745.2) return 0;
	double k = __builtin_floor(x * 0x1.71547652b82fep0 + 0.5);
	double r = (x - k * MR_LN2_HIGH) - k * MR_LN2_LOW;
	double series = 1 + r * (1. / 2 + r * (1. / 6 + r * (1. / 24 + r * (1. / 120 + r * (1. / 720 + r * (1. / 5040 +
		r * (1. / 40320 + r * (1. / 362880 + r * (1. / 3628800 + r * (1. / 39916800 + r * (1. / 479001600 +
		r * (1. / 6227020800.))))))))))));
	double y = 1 + r * series;
	int half = (int)k / 2; /* 2^k in two steps, as 2^1024 and 2^-1074 are no powers one can write */
	return y * mr_from_bits((uint64_t)(1023 + half) << 52) * mr_from_bits((uint64_t)(1023 + (int)k - half) << 52);
}
