// Number formats, and the small functions that every kernel here uses.
//
// E is what products are computed in (float, double or BFloat16), Sum<E> what sums are kept in (double of double, else
// float). Loops are plain, so that the compiler vectorises them for the processor it runs on.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

// What the library is to be called by.
#define KERNEL extern "C" __attribute__((visibility("default")))

struct BFloat16 {
    uint16_t bits;
};

template <class E> using Sum = typename std::conditional<std::is_same<E, double>::value, double, float>::type;

inline float load(BFloat16 x) {
    uint32_t bits = uint32_t(x.bits) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
inline float load(float x) { return x; }
inline double load(double x) { return x; }

// Rounds to the nearest, ties to even, as the hardware does. NaN stays NaN.
inline void store(BFloat16 &to, float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    to.bits = uint16_t((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}
inline void store(float &to, float value) { to = value; }
inline void store(double &to, double value) { to = value; }

// e^x to within two units in the last place: x = n ln 2 + r with |r| <= ln 2 / 2, then 2^n times a polynomial of r
// (the coefficients are those of Cephes' expf, Moshier 1992). Below -87 it is 0. Unlike std::exp it vectorises.
inline float exponential(float of) {
    float x = of < -87.0f ? -87.0f : of;
    x = x > 88.0f ? 88.0f : x;
    float n = x * 1.44269504f + 12582912.0f;  // adding 1.5 * 2^23 rounds to a whole number
    n -= 12582912.0f;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    uint32_t bits = uint32_t(int32_t(n) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, 4);
    return of < -87.0f ? 0.0f : y * power;
}
inline double exponential(double x) { return std::exp(x); }

// Round a row of `count` numbers.
template <class E> inline void store_row(E *to, const Sum<E> *from, int64_t count) {
    int64_t i = 0;
#ifdef __AVX512BF16__
    if constexpr (std::is_same<E, BFloat16>::value)
        for (; i + 32 <= count; i += 32)
            _mm512_storeu_si512(to + i,
                                (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i)));
#endif
    for (; i < count; i++) store(to[i], from[i]);
}

// to[i] = value(i), rounded, for i below `count`.
template <class E, class Value> inline void fill_row(E *to, int64_t count, Value value) {
    constexpr int64_t AT_ONCE = 256;
    Sum<E> block[AT_ONCE];
    for (int64_t first = 0; first < count; first += AT_ONCE) {
        int64_t here = count - first < AT_ONCE ? count - first : AT_ONCE;
#pragma omp simd
        for (int64_t i = 0; i < here; i++) block[i] = value(first + i);
        store_row(to + first, block, here);
    }
}
