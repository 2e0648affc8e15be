// One more token of each of some texts: all layers of model/llama.py in one call.
//
// A small model does some 25 operations a layer for a token, each over sooner than torch or NumPy has started it. Here
// nothing is started: what is left is to read every weight once, for all texts. Each text's sums are taken in the same
// order whatever other texts there are, so its logits are the same to the last bit.
//
// W is what the matrices are kept in, S what everything is computed in. To read the weights is most of the work of all
// but the smallest models, and in bf16 they are half as long; sums are kept in S all the same.
//
// Letters: L layers, D hidden_dim, H heads, K key/value heads (H / K heads share one), C head_dim, F width of the
// feed-forward part, V vocabulary, S max_seq_len, N tokens of a text with this one, R texts. Matrices are [out, in].

#include <algorithm>
#include <vector>

#include "products.h"

namespace {

// Multiplications from which a product is worth a second thread, which takes some microseconds to begin.
constexpr int64_t WORTH_THREADS = 1 << 18;

struct Shape {
    int64_t layers, hidden, heads, kv_heads, width, mlp, vocabulary, length;
};

// Where a block's weights are and what the cache holds for it, [R, K, S, C], in the order of inference/compiled_decoding.py.
template <class S, class W> struct Layer {
    const S *attention_norm;
    const W *q, *k, *v, *o;
    const S *mlp_norm;
    const W *gate, *up, *down;
    S *keys, *values;
};

// The model outside its blocks. cos and sin are [S, C]; the first half of sin is negative (model/llama.py).
template <class S, class W> struct Outside {
    const W *embedding;
    const S *norm;
    const W *output;
    const S *cos, *sin;
};

template <class S, class W> S dot(const W *a, const S *b, int64_t count) {
    S sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; i++) sum += load(a[i]) * b[i];
    return sum;
}

// out = matrix x. Four rows at a time, so that one sum need not wait for the other.
template <class S, class W> void four_rows(const W *matrix, const S *x, int64_t width, S *out) {
    const W *a = matrix, *b = a + width, *c = b + width, *d = c + width;
    S sum_a = 0, sum_b = 0, sum_c = 0, sum_d = 0;
#pragma omp simd reduction(+ : sum_a, sum_b, sum_c, sum_d)
    for (int64_t i = 0; i < width; i++) {
        sum_a += load(a[i]) * x[i];
        sum_b += load(b[i]) * x[i];
        sum_c += load(c[i]) * x[i];
        sum_d += load(d[i]) * x[i];
    }
    out[0] = sum_a, out[1] = sum_b, out[2] = sum_c, out[3] = sum_d;
}

// As many numbers of S as a register holds, and how many texts a tile of sums takes beside ROWS rows of a matrix.
template <class S> constexpr int LANES = VECTOR_BYTES / int(sizeof(S));
template <class S> struct Register {
    typedef S Vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(S)), may_alias));
};
constexpr int ROWS = 4, TEXTS = VECTOR_BYTES == 64 ? 4 : 2;

template <class S> inline typename Register<S>::Vector load_vector(const S *from) {
    return *reinterpret_cast<const typename Register<S>::Vector *>(from);
}
template <class S> inline typename Register<S>::Vector load_vector(const BFloat16 *from) {
    typedef uint16_t Halves __attribute__((vector_size(VECTOR_BYTES / 2), aligned(2), may_alias));
    typedef uint32_t Words __attribute__((vector_size(VECTOR_BYTES)));
    return (typename Register<S>::Vector)(__builtin_convertvector(*reinterpret_cast<const Halves *>(from), Words) << 16);
}

// The sum of all lanes of each of N vectors: halves are added, then quarters, as far as there are vectors two of them in
// one register at a time. A vector's lanes are added in the same order whatever N is.
template <class S, int N, int HALF, int... I>
inline void add_lanes(typename Register<S>::Vector *vectors, S *sums, std::integer_sequence<int, I...> lanes) {
    typedef typename std::conditional<sizeof(S) == 8, int64_t, int32_t>::type Place;
    typedef Place Places __attribute__((vector_size(VECTOR_BYTES)));
    constexpr Places UPPER = {(I & HALF ? LANES<S> + I - HALF : I)...}, LOWER = {(I & HALF ? LANES<S> + I : I + HALF)...};
    constexpr int LEFT = N > 1 ? N / 2 : 1;
#pragma GCC unroll 8
    for (int n = 0; n < LEFT; n++) {
        const auto a = vectors[n], b = N > 1 ? vectors[n + LEFT] : a;
        vectors[n] = __builtin_shuffle(a, b, UPPER) + __builtin_shuffle(a, b, LOWER);
    }
    if constexpr (HALF > 1)
        add_lanes<S, LEFT, HALF / 2>(vectors, sums, lanes);
    else
        std::memcpy(sums, vectors, sizeof(*vectors));
}

// Sums of R rows of a matrix with each of T vectors, `width` apart -> out, `rows` apart. Each sum runs over the lanes of a
// register, then over what is left, whatever R and T are.
template <int R, int T, class S, class W>
inline void tile_of_sums(const W *matrix, const S *x, int64_t width, int64_t rows, S *out) {
    constexpr int N = R * T, TOGETHER = N < LANES<S> ? N : LANES<S>, APART = LANES<S> / TOGETHER;
    typename Register<S>::Vector sums[N] = {};
    int64_t i = 0;
    for (; i + LANES<S> <= width; i += LANES<S>) {
        typename Register<S>::Vector weights[R];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) weights[r] = load_vector<S>(matrix + r * width + i);
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            const auto numbers = load_vector<S>(x + t * width + i);
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) sums[t * R + r] += weights[r] * numbers;
        }
    }
#pragma GCC unroll 4
    for (int first = 0; first < N; first += TOGETHER) {
        S added[LANES<S>];
        add_lanes<S, TOGETHER, LANES<S> / 2>(sums + first, added, std::make_integer_sequence<int, LANES<S>>());
#pragma GCC unroll 16
        for (int n = 0; n < TOGETHER; n++) {
            const int t = (first + n) / R, r = (first + n) % R;
            S sum = added[n * APART];
            for (int64_t left = i; left < width; left++) sum += load(matrix[r * width + left]) * x[t * width + left];
            out[t * rows + r] = sum;
        }
    }
}

template <int R, class S, class W>
void rows_of_all(const W *matrix, const S *x, int64_t texts, int64_t width, int64_t rows, S *out) {
    int64_t text = 0;
    for (; text + TEXTS <= texts; text += TEXTS)
        tile_of_sums<R, TEXTS>(matrix, x + text * width, width, rows, out + text * rows);
    for (; text < texts; text++) tile_of_sums<R, 1>(matrix, x + text * width, width, rows, out + text * rows);
}

// The product for each of `texts` vectors x [R, width] -> out [R, rows]; a row of the matrix is read once for some texts.
template <class S, class W>
void product(const W *matrix, const S *x, int64_t texts, int64_t rows, int64_t width, S *out) {
#pragma omp parallel for schedule(static) if (texts * rows * width >= WORTH_THREADS)
    for (int64_t first = 0; first < rows; first += ROWS) {
        if (first + ROWS <= rows) {
            rows_of_all<ROWS>(matrix + first * width, x, texts, width, rows, out + first);
            continue;
        }
        for (int64_t row = first; row < rows; row++)
            rows_of_all<1>(matrix + row * width, x, texts, width, rows, out + row);
    }
}

template <class S> void rms_norm(const S *x, const S *weight, S epsilon, int64_t count, S *out) {
    S scale = 1 / std::sqrt(dot(x, x, count) / count + epsilon);
#pragma omp simd
    for (int64_t i = 0; i < count; i++) out[i] = x[i] * scale * weight[i];
}

template <class S> void rotate(S *heads, int64_t count, int64_t width, const S *cos, const S *sin, S scale) {
    int64_t half = width / 2;
    for (int64_t head = 0; head < count; head++) {
        S *x = heads + head * width;
#pragma omp simd
        for (int64_t i = 0; i < half; i++) {
            S a = x[i], b = x[i + half];
            x[i] = (a * cos[i] + b * sin[i]) * scale;
            x[i + half] = (b * cos[i + half] + a * sin[i + half]) * scale;
        }
    }
}

// What one query takes from the N keys and values of its head; the values are summed with the weights of a softmax.
template <class S>
void attend(const S *query, const S *keys, const S *values, int64_t tokens, int64_t width, S *scores, S *out) {
    S largest = -INFINITY, whole = 0;
    int64_t n = 0;
    for (; n + 4 <= tokens; n += 4) four_rows(keys + n * width, query, width, scores + n);
    for (; n < tokens; n++) scores[n] = dot(keys + n * width, query, width);
#pragma omp simd reduction(max : largest)
    for (n = 0; n < tokens; n++) largest = std::max(largest, scores[n]);
#pragma omp simd reduction(+ : whole)
    for (n = 0; n < tokens; n++) {
        scores[n] = exponential(scores[n] - largest);
        whole += scores[n];
    }
    std::fill(out, out + width, S(0));
    for (n = 0; n + 4 <= tokens; n += 4) {  // four values at a time, so that the sums are seldom put away
        const S *a = values + n * width, *b = a + width, *c = b + width, *d = c + width, *weight = scores + n;
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            out[i] += (weight[0] * a[i] + weight[1] * b[i]) + (weight[2] * c[i] + weight[3] * d[i]);
    }
    for (; n < tokens; n++) {
        const S *value = values + n * width;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) out[i] += scores[n] * value[i];
    }
#pragma omp simd
    for (int64_t i = 0; i < width; i++) out[i] /= whole;
}

// The logits [R, V] of what follows each of tokens [R], which join the positions [R] tokens that the cache holds.
template <class S, class W>
void read_tokens(const Shape &s, const Layer<S, W> *layers, const Outside<S, W> &outside, S epsilon, int64_t texts,
                 const int64_t *tokens, const int64_t *positions, S *logits) {
    int64_t kv_width = s.kv_heads * s.width, sharing = s.heads / s.kv_heads, cache = s.kv_heads * s.length * s.width;
    int64_t longest = 1 + *std::max_element(positions, positions + texts);
    std::vector<S> x(texts * s.hidden), normed(x.size()), mixed(x.size()), added(x.size()), q(x.size());
    std::vector<S> k(texts * kv_width), v(k.size()), gate(texts * s.mlp), up(gate.size());
    std::vector<S> scores(texts * s.heads * longest);
    const S scale = 1 / std::sqrt(S(s.width));
    for (int64_t text = 0; text < texts; text++)
        for (int64_t i = 0; i < s.hidden; i++)
            x[text * s.hidden + i] = load(outside.embedding[tokens[text] * s.hidden + i]);
    auto norm_all = [&](const S *weight) {
        for (int64_t text = 0; text < texts; text++)
            rms_norm(x.data() + text * s.hidden, weight, epsilon, s.hidden, normed.data() + text * s.hidden);
    };
    auto add_all = [&] {
#pragma omp simd
        for (int64_t i = 0; i < texts * s.hidden; i++) x[i] += added[i];
    };
    for (const Layer<S, W> *layer = layers; layer < layers + s.layers; layer++) {
        norm_all(layer->attention_norm);
        product(layer->q, normed.data(), texts, s.hidden, s.hidden, q.data());
        product(layer->k, normed.data(), texts, kv_width, s.hidden, k.data());
        product(layer->v, normed.data(), texts, kv_width, s.hidden, v.data());
        for (int64_t text = 0; text < texts; text++) {
            int64_t position = positions[text];
            const S *cos = outside.cos + position * s.width, *sin = outside.sin + position * s.width;
            rotate(q.data() + text * s.hidden, s.heads, s.width, cos, sin, scale);
            rotate(k.data() + text * kv_width, s.kv_heads, s.width, cos, sin, S(1));
            for (int64_t head = 0; head < s.kv_heads; head++) {
                int64_t place = text * cache + (head * s.length + position) * s.width;
                std::copy_n(k.data() + text * kv_width + head * s.width, s.width, layer->keys + place);
                std::copy_n(v.data() + text * kv_width + head * s.width, s.width, layer->values + place);
            }
        }
#pragma omp parallel for schedule(dynamic) if (texts * s.hidden * longest >= WORTH_THREADS)
        for (int64_t one = 0; one < texts * s.heads; one++) {
            int64_t text = one / s.heads, head = one % s.heads;
            int64_t first = text * cache + head / sharing * s.length * s.width;
            attend(q.data() + one * s.width, layer->keys + first, layer->values + first, positions[text] + 1, s.width,
                   scores.data() + one * longest, mixed.data() + one * s.width);
        }
        product(layer->o, mixed.data(), texts, s.hidden, s.hidden, added.data());
        add_all();
        norm_all(layer->mlp_norm);
        product(layer->gate, normed.data(), texts, s.mlp, s.hidden, gate.data());
        product(layer->up, normed.data(), texts, s.mlp, s.hidden, up.data());
#pragma omp simd
        for (int64_t i = 0; i < texts * s.mlp; i++) up[i] *= gate[i] / (1 + exponential(-gate[i]));
        product(layer->down, up.data(), texts, s.hidden, s.mlp, added.data());
        add_all();
    }
    norm_all(outside.norm);
    product(outside.output, normed.data(), texts, s.vocabulary, s.hidden, logits);
}

}  // namespace

#define EXPORT(S, W, NAME)                                                                                            \
    KERNEL void read_tokens_##NAME(const Shape *shape, const Layer<S, W> *layers, const Outside<S, W> *outside,       \
                                   double epsilon, int64_t texts, const int64_t *tokens, const int64_t *positions,    \
                                   S *logits) {                                                                       \
        read_tokens<S, W>(*shape, layers, *outside, S(epsilon), texts, tokens, positions, logits);                    \
    }
EXPORT(float, float, fp32)
EXPORT(float, BFloat16, bf16)
#ifdef WITH_FP64  // for tests
EXPORT(double, double, fp64)
#endif
