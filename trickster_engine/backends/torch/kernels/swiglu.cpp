// SwiGLU (Shazeer 2020, arXiv:2002.05202): silu(gate) * up, with gate and up side by side in one matrix.
//
// Letters: R rows (tokens), F width of the feed-forward part. Matrices are [R, 2F] (gate, then up) and [R, F].

#include "numbers.h"

template <class E> void swiglu(int64_t rows, int64_t width, const E *gate_up, E *out) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const E *gate = gate_up + row * 2 * width, *up = gate + width;
        E *to = out + row * width;
        fill_row(to, width, [=](int64_t i) {
            Sum<E> g = load(gate[i]);
            return g / (1 + exponential(-g)) * load(up[i]);
        });
    }
}

template <class E> void swiglu_backward(int64_t rows, int64_t width, const E *gate_up, const E *d_out, E *d_gate_up) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const E *gate = gate_up + row * 2 * width, *up = gate + width, *d = d_out + row * width;
        E *d_gate = d_gate_up + row * 2 * width, *d_up = d_gate + width;
        constexpr int64_t AT_ONCE = 128;
        Sum<E> d_gates[AT_ONCE], d_ups[AT_ONCE];
        for (int64_t first = 0; first < width; first += AT_ONCE) {
            int64_t here = width - first < AT_ONCE ? width - first : AT_ONCE;
#pragma omp simd
            for (int64_t i = 0; i < here; i++) {
                Sum<E> g = load(gate[first + i]), sigmoid = 1 / (1 + exponential(-g)), back = load(d[first + i]);
                d_gates[i] = back * load(up[first + i]) * sigmoid * (1 + g * (1 - sigmoid));
                d_ups[i] = back * g * sigmoid;
            }
            store_row(d_gate + first, d_gates, here);
            store_row(d_up + first, d_ups, here);
        }
    }
}

#define EXPORT(E, NAME)                                                                                               \
    KERNEL void swiglu_##NAME(int64_t rows, int64_t width, const E *gate_up, E *out) {                            \
        swiglu<E>(rows, width, gate_up, out);                                                                         \
    }                                                                                                                 \
    KERNEL void swiglu_backward_##NAME(int64_t rows, int64_t width, const E *gate_up, const E *d_out,             \
                                           E *d_gate_up) {                                                            \
        swiglu_backward<E>(rows, width, gate_up, d_out, d_gate_up);                                                   \
    }
EXPORT(BFloat16, bf16)
EXPORT(float, fp32)
#ifdef WITH_FP64  // for tests
EXPORT(double, fp64)
#endif
