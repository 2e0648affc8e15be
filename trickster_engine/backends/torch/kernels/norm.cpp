// RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467) together with what stands around it in a block: the residual
// addition with its dropout before it, rounding to the products' format after it.
//
// Letters: R rows (tokens), D width. x and sums are [R, D] in Sum<E>, branches and normed rows [R, D] in E.

#include <vector>

#include <omp.h>

#include "dropout.h"
#include "numbers.h"

// sum = x + dropout(branch); normed = sum / rms(sum) * weight, and inverse[R] = 1 / rms(sum).
// Without a branch the sum is x and is not written; without `normed` nothing is normed.
template <class E>
void add_norm(int64_t rows, int64_t width, const Sum<E> *x, const E *branch, double p, uint64_t seed,
              const Sum<E> *weight, double epsilon, Sum<E> *sum, E *normed, Sum<E> *inverse) {
    Dropout dropout(p, seed);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const Sum<E> *from = x + row * width;
        if (branch) {
            const E *added = branch + row * width;
            Sum<E> *to = sum + row * width;
            if (dropout.on()) {
                uint32_t key = dropout.row(row);
#pragma omp simd
                for (int64_t i = 0; i < width; i++) to[i] = from[i] + load(added[i]) * dropout.factor(key, i);
            } else {
#pragma omp simd
                for (int64_t i = 0; i < width; i++) to[i] = from[i] + load(added[i]);
            }
            from = to;
        }
        if (!normed) continue;
        Sum<E> squares = 0;
#pragma omp simd reduction(+ : squares)
        for (int64_t i = 0; i < width; i++) squares += from[i] * from[i];
        Sum<E> scale = 1 / std::sqrt(squares / width + Sum<E>(epsilon));
        inverse[row] = scale;
        E *to = normed + row * width;
        fill_row(to, width, [=](int64_t i) { return from[i] * scale * weight[i]; });
    }
}

// The way back through add_norm. Given are the gradients of `normed` and of `sum` (what came along the residual, if any), and
// found are those of x, [R, D], of the branch, [R, D] (left out without `d_branch`), and of the weight, [D].
template <class E>
void add_norm_backward(int64_t rows, int64_t width, const Sum<E> *sum, const Sum<E> *inverse, const Sum<E> *weight,
                       const E *d_normed, const Sum<E> *d_sum, double p, uint64_t seed, Sum<E> *d_x, E *d_branch,
                       Sum<E> *d_weight) {
    Dropout dropout(p, seed);
    int threads = omp_get_max_threads();
    std::vector<Sum<E>> parts(size_t(threads) * width, 0);
#pragma omp parallel num_threads(threads)
    {
        Sum<E> *part = parts.data() + omp_get_thread_num() * width;
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; row++) {
            const Sum<E> *x = sum + row * width, *along = d_sum ? d_sum + row * width : nullptr;
            const E *d = d_normed + row * width;
            Sum<E> *to = d_x + row * width;
            Sum<E> scale = inverse[row], dot = 0;
#pragma omp simd reduction(+ : dot)
            for (int64_t i = 0; i < width; i++) dot += load(d[i]) * weight[i] * x[i];
            Sum<E> pull = dot * scale * scale * scale / width;
#pragma omp simd
            for (int64_t i = 0; i < width; i++) {
                part[i] += load(d[i]) * x[i] * scale;
                to[i] = load(d[i]) * weight[i] * scale - x[i] * pull;
            }
            if (along)
#pragma omp simd
                for (int64_t i = 0; i < width; i++) to[i] += along[i];
            if (!d_branch) continue;
            E *branch = d_branch + row * width;
            if (dropout.on()) {
                uint32_t key = dropout.row(row);
                fill_row(branch, width, [=](int64_t i) { return to[i] * dropout.factor(key, i); });
            } else {
                store_row(branch, to, width);
            }
        }
    }
    for (int64_t i = 0; i < width; i++) {
        Sum<E> total = 0;
        for (int thread = 0; thread < threads; thread++) total += parts[size_t(thread) * width + i];
        d_weight[i] = total;
    }
}

// The gradient of a branch that was only added: dropout(d_sum), rounded.
template <class E>
void add_backward(int64_t rows, int64_t width, const Sum<E> *d_sum, double p, uint64_t seed, E *d_branch) {
    Dropout dropout(p, seed);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const Sum<E> *from = d_sum + row * width;
        E *to = d_branch + row * width;
        if (dropout.on()) {
            uint32_t key = dropout.row(row);
            fill_row(to, width, [=](int64_t i) { return from[i] * dropout.factor(key, i); });
        } else {
            store_row(to, from, width);
        }
    }
}

#define EXPORT(E, NAME)                                                                                               \
    KERNEL void add_norm_##NAME(int64_t rows, int64_t width, const Sum<E> *x, const E *branch, double p,          \
                                    uint64_t seed, const Sum<E> *weight, double epsilon, Sum<E> *sum, E *normed,      \
                                    Sum<E> *inverse) {                                                                \
        add_norm<E>(rows, width, x, branch, p, seed, weight, epsilon, sum, normed, inverse);                          \
    }                                                                                                                 \
    KERNEL void add_norm_backward_##NAME(int64_t rows, int64_t width, const Sum<E> *sum, const Sum<E> *inverse,   \
                                             const Sum<E> *weight, const E *d_normed, const Sum<E> *d_sum, double p,  \
                                             uint64_t seed, Sum<E> *d_x, E *d_branch, Sum<E> *d_weight) {             \
        add_norm_backward<E>(rows, width, sum, inverse, weight, d_normed, d_sum, p, seed, d_x, d_branch, d_weight);   \
    }                                                                                                                 \
    KERNEL void add_backward_##NAME(int64_t rows, int64_t width, const Sum<E> *d_sum, double p, uint64_t seed,    \
                                        E *d_branch) {                                                                \
        add_backward<E>(rows, width, d_sum, p, seed, d_branch);                                                       \
    }
EXPORT(BFloat16, bf16)
EXPORT(float, fp32)
#ifdef WITH_FP64  // for tests
EXPORT(double, fp64)
#endif
