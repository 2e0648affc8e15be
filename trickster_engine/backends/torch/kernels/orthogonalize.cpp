// Muon's Newton-Schulz iteration (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): brings all singular
// values of a matrix near 1. With G = X X^T, a step is X <- a X + (b G + c G G) X.
//
// A matrix stays in the caches of one core for all its steps. G and G G are symmetric: only the tiles that reach below the
// diagonal are computed.
//
// Letters: N matrices of R rows and C columns, R <= C; within, both are padded with zeros to whole tiles.

#include "products.h"

namespace {

// c = left * right, [rows][rows], where that is symmetric: the tiles that reach below the diagonal.
template <class F>
void multiply_lower(int64_t rows, int64_t words, Left<F> left, Right<F> right, Sum<F> *c) {
    for (int64_t row = 0; row < rows; row += TILE_ROWS)
        multiply<false, F>(TILE_ROWS, (row + TILE_ROWS + TILE_COLUMNS<F> - 1) / TILE_COLUMNS<F> * TILE_COLUMNS<F>, words,
                    {left.start + row * left.row * WORD<F>, left.row, left.step}, right, c + row * rows, rows);
}

// Round what is on and below the diagonal, and mirror it.
template <class F> void store_symmetric(F *to, const Sum<F> *from, int64_t rows) {
    for (int64_t row = 0; row < rows; row++) {
        store_row(to + row * rows, from + row * rows, row + 1);
        for (int64_t i = 0; i < row; i++) to[i * rows + row] = to[row * rows + i];
    }
}

template <class E>
void orthogonalize(int64_t count, int64_t height, int64_t width, const Sum<E> *in, double a, double b, double c,
                   int64_t steps, double epsilon, Sum<E> *out) {
    using F = Factor<E>;
    using S = Sum<E>;
    constexpr int64_t TILE = TILE_COLUMNS<F>;
    const int64_t rows = (height + TILE - 1) / TILE * TILE, columns = (width + TILE - 1) / TILE * TILE;
    const int64_t size = rows * columns, square = rows * rows, across = columns / WORD<F>;
    const size_t bytes = size_t(3 * size + 3 * square) * sizeof(F) + size_t(size + 2 * square) * sizeof(S) + 12 * 64;
#pragma omp parallel
    {
        Workspace memory(bytes);
        F *x = memory.take<F>(size), *x_across = memory.take<F>(size), *x_down = memory.take<F>(size);
        F *gram = memory.take<F>(square), *gram_down = memory.take<F>(square), *polynomial = memory.take<F>(square);
        S *grams = memory.take<S>(square), *squares = memory.take<S>(square), *next = memory.take<S>(size);
#pragma omp for schedule(dynamic)
        for (int64_t n = 0; n < count; n++) {
            const S *from = in + n * height * width;
            S length = 0;
#pragma omp simd reduction(+ : length)
            for (int64_t i = 0; i < height * width; i++) length += from[i] * from[i];
            length = std::sqrt(length);
            S scale = 1 / (length < S(epsilon) ? S(epsilon) : length);
            std::memset(x, 0, size_t(size) * sizeof(F));
            for (int64_t row = 0; row < height; row++)
                fill_row(x + row * columns, width, [=](int64_t i) { return from[row * width + i] * scale; });
            for (int64_t step = 0; step < steps; step++) {
                words_across(x, rows, columns, x_across);
                multiply_lower<F>(rows, across, {x, across, 1}, {x_across, across * TILE, TILE}, grams);
                store_symmetric(gram, grams, rows);
                words_down(gram, rows, rows, gram_down);
                multiply_lower<F>(rows, rows / WORD<F>, {gram, rows / WORD<F>, 1}, {gram_down, TILE, rows}, squares);
#pragma omp simd
                for (int64_t i = 0; i < square; i++) squares[i] = S(b) * grams[i] + S(c) * squares[i];
                store_symmetric(polynomial, squares, rows);
                words_down(x, rows, columns, x_down);
                multiply<false, F>(rows, columns, rows / WORD<F>, {polynomial, rows / WORD<F>, 1}, {x_down, TILE, columns}, next,
                            columns);
                for (int64_t row = 0; row < rows; row++) {
                    const S *change = next + row * columns;
                    F *to = x + row * columns;
                    fill_row(to, columns, [=](int64_t i) { return S(a) * load(to[i]) + change[i]; });
                }
            }
            for (int64_t row = 0; row < height; row++) {
                S *to = out + (n * height + row) * width;
#pragma omp simd
                for (int64_t i = 0; i < width; i++) to[i] = load(x[row * columns + i]);
            }
        }
    }
}

}  // namespace

#define EXPORT(E, NAME)                                                                                               \
    KERNEL void orthogonalize_##NAME(int64_t count, int64_t height, int64_t width, const Sum<E> *in, double a,        \
                                     double b, double c, int64_t steps, double epsilon, Sum<E> *out) {                \
        orthogonalize<E>(count, height, width, in, a, b, c, steps, epsilon, out);                                     \
    }
EXPORT(BFloat16, bf16)
EXPORT(float, fp32)
#ifdef WITH_FP64  // for tests
EXPORT(double, fp64)
#endif
