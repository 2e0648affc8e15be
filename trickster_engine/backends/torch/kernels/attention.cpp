// Causal self-attention with the rotary embedding of queries and keys, of which only the allowed half is computed.
//
// A head's scores are never kept: forwards they live in a cache for a few queries at a time, and backwards they are
// computed again from what was kept of each query, the logarithm of its sum of exponentials (Dao et al. 2022,
// FlashAttention, arXiv:2205.14135).
//
// Letters: B sequences, T tokens of each, H heads, K key/value heads (grouped-query attention where K < H), C head_dim.
// qkv and its gradient are [B, T, H + 2K, C]: queries, keys, values. cos and sin are [T, C]; the first half of sin is
// negative (model/llama.py). Within, T and C are padded with zeros to whole tiles: P rows of W columns.

#include <algorithm>

#include "products.h"

namespace {

constexpr int64_t QUERIES = 32, KEYS = 64;  // of a block of scores: together with its gradients it fits the first cache

int64_t padded(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

template <class E> struct Shape {
    int64_t batch, length, heads, kv_heads, width;
    int64_t pitch() const { return (heads + 2 * kv_heads) * width; }
    int64_t rows() const { return padded(length, KEYS); }
    int64_t columns() const { return padded(width, TILE_COLUMNS<Factor<E>>); }
};

// Copy a head, T rows `pitch` apart, to [P][W]: rotated where there are tables, and scaled.
template <class E>
void read_head(const Shape<E> &s, const E *from, int64_t pitch, const Sum<E> *cos, const Sum<E> *sin, Sum<E> scale,
               Factor<E> *to) {
    int64_t half = s.width / 2, columns = s.columns();
    std::memset(to, 0, size_t(s.rows() * columns) * sizeof(Factor<E>));
    for (int64_t t = 0; t < s.length; t++) {
        const E *x = from + t * pitch;
        Factor<E> *y = to + t * columns;
        if (!cos) {
#pragma omp simd
            for (int64_t i = 0; i < s.width; i++) store(y[i], load(x[i]) * scale);
            continue;
        }
        const Sum<E> *c = cos + t * s.width, *n = sin + t * s.width;
#pragma omp simd
        for (int64_t i = 0; i < half; i++) {
            Sum<E> a = load(x[i]), b = load(x[i + half]);
            store(y[i], (a * c[i] + b * n[i]) * scale);
            store(y[i + half], (b * c[i + half] + a * n[i + half]) * scale);
        }
    }
}

// Take what comes after the first `allowed` of `count` scores out of the softmax.
template <class S> void hide(S *scores, int64_t allowed, int64_t count) {
    for (int64_t j = std::max(int64_t(0), allowed); j < count; j++) scores[j] = -INFINITY;
}

// The way back through read_head, from [P][W].
template <class E>
void write_gradient(const Shape<E> &s, const Sum<E> *from, const Sum<E> *cos, const Sum<E> *sin, Sum<E> scale, E *to) {
    int64_t half = s.width / 2, columns = s.columns(), pitch = s.pitch();
    for (int64_t t = 0; t < s.length; t++) {
        const Sum<E> *y = from + t * columns;
        E *x = to + t * pitch;
        if (!cos) {
#pragma omp simd
            for (int64_t i = 0; i < s.width; i++) store(x[i], y[i] * scale);
            continue;
        }
        const Sum<E> *c = cos + t * s.width, *n = sin + t * s.width;
#pragma omp simd
        for (int64_t i = 0; i < half; i++) {
            Sum<E> a = y[i], b = y[i + half];
            store(x[i], (a * c[i] + b * n[i + half]) * scale);
            store(x[i + half], (b * c[i + half] + a * n[i]) * scale);
        }
    }
}

template <class E>
void forward(const Shape<E> &s, const E *qkv, const Sum<E> *cos, const Sum<E> *sin, E *out, Sum<E> *logsumexp) {
    using F = Factor<E>;
    using S = Sum<E>;
    const int64_t rows = s.rows(), columns = s.columns(), pitch = s.pitch(), group = s.heads / s.kv_heads;
    const int64_t across = columns / WORD<F>, panel = across * TILE_COLUMNS<F>;
    const S scale = 1 / std::sqrt(S(s.width));
    // Queries, keys and values as they come, keys and values as right factors; scores, weights and results of a block.
    const size_t bytes = size_t(5 * rows * columns + QUERIES * rows) * sizeof(F) +
                         size_t(QUERIES * rows + QUERIES * columns) * sizeof(S) + 8 * 64;
#pragma omp parallel
    {
        Workspace memory(bytes);
        F *q = memory.take<F>(rows * columns), *k = memory.take<F>(rows * columns), *v = memory.take<F>(rows * columns);
        F *keys = memory.take<F>(rows * columns), *values = memory.take<F>(rows * columns);
        S *scores = memory.take<S>(QUERIES * rows), *result = memory.take<S>(QUERIES * columns);
        F *weights = memory.take<F>(QUERIES * rows);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < s.batch; b++)
            for (int64_t shared = 0; shared < s.kv_heads; shared++) {
                const E *first = qkv + b * s.length * pitch;
                read_head(s, first + (s.heads + shared) * s.width, pitch, cos, sin, S(1), k);
                read_head<E>(s, first + (s.heads + s.kv_heads + shared) * s.width, pitch, nullptr, nullptr, S(1), v);
                words_across(k, rows, columns, keys);
                words_down(v, rows, columns, values);
                for (int64_t head = shared * group; head < (shared + 1) * group; head++) {
                    read_head(s, first + head * s.width, pitch, cos, sin, scale, q);
                    for (int64_t i0 = 0; i0 < s.length; i0 += QUERIES) {
                        int64_t seen = padded(i0 + QUERIES, TILE_COLUMNS<F>);
                        multiply<false, F>(QUERIES, seen, across, {q + i0 * columns, across, 1}, {keys, panel, TILE_COLUMNS<F>}, scores, rows);
                        S sums[QUERIES];
                        for (int64_t i = 0; i < QUERIES; i++) {
                            S *score = scores + i * rows, largest = score[0], sum = 0;
                            hide(score, i0 + i + 1, seen);
#pragma omp simd reduction(max : largest)
                            for (int64_t j = 0; j < seen; j++) largest = score[j] > largest ? score[j] : largest;
#pragma omp simd reduction(+ : sum)
                            for (int64_t j = 0; j < seen; j++) {
                                score[j] = exponential(score[j] - largest);
                                sum += score[j];
                            }
                            store_row(weights + i * rows, score, seen);
                            sums[i] = sum;
                            if (i0 + i < s.length)
                                logsumexp[(b * s.heads + head) * s.length + i0 + i] = largest + std::log(sum);
                        }
                        multiply<false, F>(QUERIES, columns, seen / WORD<F>, {weights, rows / WORD<F>, 1},
                                    {values, TILE_COLUMNS<F>, columns}, result, columns);
                        for (int64_t i = 0; i < std::min(QUERIES, s.length - i0); i++) {
                            E *to = out + ((b * s.length + i0 + i) * s.heads + head) * s.width;
                            S share = 1 / sums[i];
#pragma omp simd
                            for (int64_t c = 0; c < s.width; c++) store(to[c], result[i * columns + c] * share);
                        }
                    }
                }
            }
    }
}

template <class E>
void backward(const Shape<E> &s, const E *qkv, const Sum<E> *cos, const Sum<E> *sin, const E *out,
              const Sum<E> *logsumexp, const E *d_out, E *d_qkv) {
    using F = Factor<E>;
    using S = Sum<E>;
    const int64_t rows = s.rows(), columns = s.columns(), pitch = s.pitch(), group = s.heads / s.kv_heads;
    const int64_t across = columns / WORD<F>, panel = across * TILE_COLUMNS<F>, size = rows * columns;
    const S scale = 1 / std::sqrt(S(s.width));
    const size_t bytes = size_t(9 * size + 4 * QUERIES * KEYS) * sizeof(F) +
                         size_t(3 * size + 2 * QUERIES * KEYS + 2 * rows) * sizeof(S) + 24 * 64;
#pragma omp parallel
    {
        Workspace memory(bytes);
        F *q = memory.take<F>(size), *k = memory.take<F>(size), *v = memory.take<F>(size), *d = memory.take<F>(size);
        F *k_across = memory.take<F>(size), *v_across = memory.take<F>(size);
        F *q_down = memory.take<F>(size), *k_down = memory.take<F>(size), *d_down = memory.take<F>(size);
        S *d_q = memory.take<S>(size), *d_k = memory.take<S>(size), *d_v = memory.take<S>(size);
        S *scores = memory.take<S>(QUERIES * KEYS), *d_weights = memory.take<S>(QUERIES * KEYS);
        F *weights = memory.take<F>(QUERIES * KEYS), *weights_down = memory.take<F>(QUERIES * KEYS);
        F *d_scores = memory.take<F>(QUERIES * KEYS), *d_scores_down = memory.take<F>(QUERIES * KEYS);
        S *log_sums = memory.take<S>(rows), *shares = memory.take<S>(rows);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < s.batch; b++)
            for (int64_t shared = 0; shared < s.kv_heads; shared++) {
                const E *first = qkv + b * s.length * pitch;
                E *d_first = d_qkv + b * s.length * pitch;
                int64_t k_at = (s.heads + shared) * s.width, v_at = k_at + s.kv_heads * s.width;
                read_head(s, first + k_at, pitch, cos, sin, S(1), k);
                read_head<E>(s, first + v_at, pitch, nullptr, nullptr, S(1), v);
                words_across(k, rows, columns, k_across);
                words_across(v, rows, columns, v_across);
                words_down(k, rows, columns, k_down);
                std::memset(d_k, 0, size_t(size) * sizeof(S));
                std::memset(d_v, 0, size_t(size) * sizeof(S));
                for (int64_t head = shared * group; head < (shared + 1) * group; head++) {
                    int64_t step = s.heads * s.width, at = b * s.length * step + head * s.width;
                    read_head(s, first + head * s.width, pitch, cos, sin, scale, q);
                    read_head<E>(s, d_out + at, step, nullptr, nullptr, S(1), d);
                    words_down(q, rows, columns, q_down);
                    std::memset(d_q, 0, size_t(size) * sizeof(S));
                    words_down(d, rows, columns, d_down);
                    for (int64_t t = 0; t < rows; t++) {
                        S dot = 0;
                        if (t < s.length)
#pragma omp simd reduction(+ : dot)
                            for (int64_t c = 0; c < s.width; c++)
                                dot += load(out[at + t * step + c]) * load(d_out[at + t * step + c]);
                        shares[t] = dot;  // of a query: sum of weight * gradient of the weight
                        log_sums[t] = t < s.length ? logsumexp[(b * s.heads + head) * s.length + t] : S(0);
                    }
                    for (int64_t i0 = 0; i0 < s.length; i0 += QUERIES) {
                        for (int64_t j0 = 0; j0 < i0 + QUERIES; j0 += KEYS) {
                            int64_t keys = std::min(KEYS, padded(i0 + QUERIES - j0, TILE_COLUMNS<F>));
                            multiply<false, F>(QUERIES, keys, across, {q + i0 * columns, across, 1}, {k_across + j0 * columns, panel, TILE_COLUMNS<F>}, scores, KEYS);
                            multiply<false, F>(QUERIES, keys, across, {d + i0 * columns, across, 1}, {v_across + j0 * columns, panel, TILE_COLUMNS<F>}, d_weights, KEYS);
                            for (int64_t i = 0; i < QUERIES; i++) {
                                S *score = scores + i * KEYS, *d_weight = d_weights + i * KEYS;
                                S log_sum = log_sums[i0 + i], share = shares[i0 + i];
                                hide(score, i0 + i + 1 - j0, keys);
#pragma omp simd
                                for (int64_t j = 0; j < keys; j++) {
                                    score[j] = exponential(score[j] - log_sum);
                                    d_weight[j] = score[j] * (d_weight[j] - share);
                                }
                                store_row(weights + i * KEYS, score, keys);
                                store_row(d_scores + i * KEYS, d_weight, keys);
                            }
                            words_down(weights, QUERIES, KEYS, weights_down);
                            words_down(d_scores, QUERIES, KEYS, d_scores_down);
                            multiply<true, F>(QUERIES, columns, keys / WORD<F>, {d_scores, KEYS / WORD<F>, 1},
                                        {k_down + j0 * columns, TILE_COLUMNS<F>, columns}, d_q + i0 * columns, columns);
                            multiply<true, F>(keys, columns, QUERIES / WORD<F>, {weights_down, 1, KEYS},
                                        {d_down + i0 * columns, TILE_COLUMNS<F>, columns}, d_v + j0 * columns, columns);
                            multiply<true, F>(keys, columns, QUERIES / WORD<F>, {d_scores_down, 1, KEYS},
                                        {q_down + i0 * columns, TILE_COLUMNS<F>, columns}, d_k + j0 * columns, columns);
                        }
                    }
                    write_gradient(s, d_q, cos, sin, scale, d_first + head * s.width);
                }
                write_gradient(s, d_k, cos, sin, S(1), d_first + k_at);
                write_gradient<E>(s, d_v, nullptr, nullptr, S(1), d_first + v_at);
            }
    }
}

}  // namespace

#define EXPORT(E, NAME)                                                                                               \
    KERNEL void attention_##NAME(int64_t batch, int64_t length, int64_t heads, int64_t kv_heads, int64_t width,   \
                                     const E *qkv, const Sum<E> *cos, const Sum<E> *sin, E *out,                      \
                                     Sum<E> *logsumexp) {                                                             \
        forward<E>({batch, length, heads, kv_heads, width}, qkv, cos, sin, out, logsumexp);                           \
    }                                                                                                                 \
    KERNEL void attention_backward_##NAME(int64_t batch, int64_t length, int64_t heads, int64_t kv_heads,         \
                                              int64_t width, const E *qkv, const Sum<E> *cos, const Sum<E> *sin,      \
                                              const E *out, const Sum<E> *logsumexp, const E *d_out, E *d_qkv) {      \
        backward<E>({batch, length, heads, kv_heads, width}, qkv, cos, sin, out, logsumexp, d_out, d_qkv);            \
    }
EXPORT(BFloat16, bf16)
EXPORT(float, fp32)
#ifdef WITH_FP64  // for tests
EXPORT(double, fp64)
#endif
