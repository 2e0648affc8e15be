// One more token of one text: all layers of model/llama.py in one call, for a single token.
//
// A small model does some 25 operations a layer for a token, each over sooner than torch or NumPy has started it. Here
// nothing is started: what is left is to read every weight once.
//
// Letters: L layers, D hidden_dim, H heads, K key/value heads (H / K heads share one), C head_dim, F width of the
// feed-forward part, V vocabulary, S max_seq_len, N tokens read so far with this one. Matrices are [out, in].

#include <algorithm>
#include <vector>

#include "numbers.h"

namespace {

// Multiplications from which a product is worth a second thread, which takes some microseconds to begin.
constexpr int64_t WORTH_THREADS = 1 << 18;

struct Shape {
    int64_t layers, hidden, heads, kv_heads, width, mlp, vocabulary, length;
};

// Where a block's weights are and what the cache holds for it, [K, S, C], in the order of inference/compiled_decoding.py.
template <class S> struct Layer {
    const S *attention_norm, *q, *k, *v, *o, *mlp_norm, *gate, *up, *down;
    S *keys, *values;
};

// The model outside its blocks. cos and sin are [S, C]; the first half of sin is negative (model/llama.py).
template <class S> struct Outside {
    const S *embedding, *norm, *output, *cos, *sin;
};

template <class S> S dot(const S *a, const S *b, int64_t count) {
    S sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; i++) sum += a[i] * b[i];
    return sum;
}

// out = matrix x. Four rows at a time, so that one sum need not wait for the other.
template <class S> void product(const S *matrix, const S *x, int64_t rows, int64_t width, S *out) {
#pragma omp parallel for schedule(static) if (rows * width >= WORTH_THREADS)
    for (int64_t group = 0; group < (rows + 3) / 4; group++) {
        int64_t row = group * 4;
        if (row + 4 > rows) {
            for (; row < rows; row++) out[row] = dot(matrix + row * width, x, width);
            continue;
        }
        const S *a = matrix + row * width, *b = a + width, *c = b + width, *d = c + width;
        S sum_a = 0, sum_b = 0, sum_c = 0, sum_d = 0;
#pragma omp simd reduction(+ : sum_a, sum_b, sum_c, sum_d)
        for (int64_t i = 0; i < width; i++) {
            sum_a += a[i] * x[i];
            sum_b += b[i] * x[i];
            sum_c += c[i] * x[i];
            sum_d += d[i] * x[i];
        }
        out[row] = sum_a, out[row + 1] = sum_b, out[row + 2] = sum_c, out[row + 3] = sum_d;
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
    for (int64_t n = 0; n < tokens; n++) {
        scores[n] = dot(query, keys + n * width, width);
        largest = std::max(largest, scores[n]);
    }
#pragma omp simd reduction(+ : whole)
    for (int64_t n = 0; n < tokens; n++) {
        scores[n] = exponential(scores[n] - largest);
        whole += scores[n];
    }
    std::fill(out, out + width, S(0));
    for (int64_t n = 0; n < tokens; n++) {
        S weight = scores[n] / whole;
        const S *value = values + n * width;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) out[i] += weight * value[i];
    }
}

// The logits [V] of what follows `token`, which joins the `position` tokens that the cache holds.
template <class S>
void read_token(const Shape &s, const Layer<S> *layers, const Outside<S> &outside, S epsilon, int64_t token,
                int64_t position, S *logits) {
    int64_t kv_width = s.kv_heads * s.width, sharing = s.heads / s.kv_heads, tokens = position + 1;
    std::vector<S> x(outside.embedding + token * s.hidden, outside.embedding + (token + 1) * s.hidden);
    std::vector<S> normed(s.hidden), mixed(s.hidden), added(s.hidden), q(s.hidden), k(kv_width), v(kv_width);
    std::vector<S> gate(s.mlp), up(s.mlp), scores(tokens);
    const S *cos = outside.cos + position * s.width, *sin = outside.sin + position * s.width;
    const S scale = 1 / std::sqrt(S(s.width));
    for (const Layer<S> *layer = layers; layer < layers + s.layers; layer++) {
        rms_norm(x.data(), layer->attention_norm, epsilon, s.hidden, normed.data());
        product(layer->q, normed.data(), s.hidden, s.hidden, q.data());
        product(layer->k, normed.data(), kv_width, s.hidden, k.data());
        product(layer->v, normed.data(), kv_width, s.hidden, v.data());
        rotate(q.data(), s.heads, s.width, cos, sin, scale);
        rotate(k.data(), s.kv_heads, s.width, cos, sin, S(1));
        for (int64_t head = 0; head < s.kv_heads; head++) {
            int64_t place = (head * s.length + position) * s.width;
            std::copy_n(k.data() + head * s.width, s.width, layer->keys + place);
            std::copy_n(v.data() + head * s.width, s.width, layer->values + place);
        }
        for (int64_t head = 0; head < s.heads; head++) {
            int64_t first = head / sharing * s.length * s.width;
            attend(q.data() + head * s.width, layer->keys + first, layer->values + first, tokens, s.width,
                   scores.data(), mixed.data() + head * s.width);
        }
        product(layer->o, mixed.data(), s.hidden, s.hidden, added.data());
        for (int64_t i = 0; i < s.hidden; i++) x[i] += added[i];
        rms_norm(x.data(), layer->mlp_norm, epsilon, s.hidden, normed.data());
        product(layer->gate, normed.data(), s.mlp, s.hidden, gate.data());
        product(layer->up, normed.data(), s.mlp, s.hidden, up.data());
#pragma omp simd
        for (int64_t i = 0; i < s.mlp; i++) up[i] *= gate[i] / (1 + exponential(-gate[i]));
        product(layer->down, up.data(), s.hidden, s.mlp, added.data());
        for (int64_t i = 0; i < s.hidden; i++) x[i] += added[i];
    }
    rms_norm(x.data(), outside.norm, epsilon, s.hidden, normed.data());
    product(outside.output, normed.data(), s.vocabulary, s.hidden, logits);
}

}  // namespace

#define EXPORT(S, NAME)                                                                                               \
    KERNEL void read_token_##NAME(const Shape *shape, const Layer<S> *layers, const Outside<S> *outside,              \
                                  double epsilon, int64_t token, int64_t position, S *logits) {                       \
        read_token<S>(*shape, layers, *outside, S(epsilon), token, position, logits);                                 \
    }
EXPORT(float, fp32)
#ifdef WITH_FP64  // for tests
EXPORT(double, fp64)
#endif
