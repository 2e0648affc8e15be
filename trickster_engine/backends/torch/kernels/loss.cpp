// Softmax cross-entropy and its gradient in one pass over the logits.
//
// Letters: R rows (tokens), V vocabulary. Logits and their gradient are [R, V] in E, targets [R].

#include "numbers.h"

// losses[R] = log(sum(exp(logits))) - logits[target], in nats; d_logits = scale * (softmax(logits) - [target]).
template <class E>
void cross_entropy(int64_t rows, int64_t vocabulary, const E *logits, const int64_t *targets, double scale,
                   Sum<E> *losses, E *d_logits) {
    using S = Sum<E>;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const E *from = logits + row * vocabulary;
        E *to = d_logits + row * vocabulary;
        const int64_t target = targets[row];
        S largest = load(from[0]), sum = 0;
#pragma omp simd reduction(max : largest)
        for (int64_t i = 0; i < vocabulary; i++) {
            S x = load(from[i]);
            largest = x > largest ? x : largest;
        }
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < vocabulary; i++) sum += exponential(load(from[i]) - largest);
        const S log_sum = largest + std::log(sum), at_target = load(from[target]), share = S(scale) / sum;
        losses[row] = log_sum - at_target;
        fill_row(to, vocabulary, [=](int64_t i) { return exponential(load(from[i]) - largest) * share; });
        store(to[target], (exponential(at_target - largest) / sum - 1) * S(scale));
    }
}

#define EXPORT(E, NAME)                                                                                               \
    KERNEL void cross_entropy_##NAME(int64_t rows, int64_t vocabulary, const E *logits, const int64_t *targets,       \
                                     double scale, Sum<E> *losses, E *d_logits) {                                     \
        cross_entropy<E>(rows, vocabulary, logits, targets, scale, losses, d_logits);                                 \
    }
EXPORT(BFloat16, bf16)
EXPORT(float, fp32)
#ifdef WITH_FP64  // for tests
EXPORT(double, fp64)
#endif
