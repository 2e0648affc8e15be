// An update by Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): momentum, its direction brought to
// singular values near 1 by a Newton-Schulz iteration, weight decay and the step, in one pass over each matrix.
//
// With G = X X^T, an iteration is X <- a X + (b G + c G G) X. A matrix stays in the caches of one core for all of them. G
// and G G are symmetric: only the tiles that reach below the diagonal are computed.
//
// Letters: a matrix is laid on its long side, R rows of C columns, R <= C; within, both are padded with zeros to whole
// tiles.

#include <algorithm>

#include "products.h"

namespace {

// A row of the table of matrices that is handed over: where each lies, [rows][columns].
template <class S> struct Matrix {
    S *weight;
    const S *gradient;
    S *momentum;
    int64_t rows, columns;
};

struct Settings {
    double momentum;
    bool nesterov;
    double decay, rate, a, b, c;
    int64_t iterations;
    double epsilon;
};

// c = left * right, [rows][rows], where that is symmetric: the tiles that reach below the diagonal.
template <class F>
void multiply_lower(int64_t rows, int64_t words, Left<F> left, Right<F> right, Sum<F> *c) {
    for (int64_t row = 0; row < rows; row += TILE_ROWS)
        multiply<false, F>(TILE_ROWS, (row + TILE_ROWS + TILE_COLUMNS<F> - 1) / TILE_COLUMNS<F> * TILE_COLUMNS<F>, words,
                    {left.start + row * left.row * WORD<F>, left.row, left.step}, right, c + row * rows, rows);
}

// Mirror what multiply_lower left out: what is right of the square of a tile's columns on the diagonal.
template <class F> void mirror(Sum<F> *c, int64_t rows) {
    using W = Word<Sum<F>>;
    for (int64_t row = TILE_COLUMNS<F>; row < rows; row += TILE_COLUMNS<F>)
        transpose(reinterpret_cast<const W *>(c) + row * rows, TILE_COLUMNS<F>, row, rows, reinterpret_cast<W *>(c) + row, rows);
}

// Memory of a thread for matrices of up to R x C numbers.
template <class E> struct Room {
    using F = Factor<E>;
    using S = Sum<E>;
    Workspace memory;
    F *x, *x_factor, *gram, *gram_down, *polynomial;
    S *grams, *squares, *next, *turned;

    Room(int64_t size, int64_t square)
        : memory(size_t(2 * size + 3 * square) * sizeof(F) + size_t(2 * size + 2 * square) * sizeof(S) + 9 * 64),
          x(memory.take<F>(size)), x_factor(memory.take<F>(size)), gram(memory.take<F>(square)),
          gram_down(memory.take<F>(square)), polynomial(memory.take<F>(square)), grams(memory.take<S>(square)),
          squares(memory.take<S>(square)), next(memory.take<S>(size)), turned(memory.take<S>(size)) {}
};

template <class E> int64_t padded(int64_t count) {
    constexpr int64_t TILE = TILE_COLUMNS<Factor<E>>;
    return (count + TILE - 1) / TILE * TILE;
}

// Bring the singular values of x [rows][columns] near 1.
template <class E> void orthogonalize(int64_t rows, int64_t columns, const Settings &s, Room<E> &room) {
    using F = Factor<E>;
    using S = Sum<E>;
    constexpr int64_t TILE = TILE_COLUMNS<F>;
    const int64_t square = rows * rows, across = columns / WORD<F>, down = rows / WORD<F>;
    const S a = S(s.a), b = S(s.b), c = S(s.c);
    for (int64_t iteration = 0; iteration < s.iterations; iteration++) {
        words_across(room.x, rows, columns, room.x_factor);
        multiply_lower<F>(rows, across, {room.x, across, 1}, {room.x_factor, across * TILE, TILE}, room.grams);
        mirror<F>(room.grams, rows);
        store_row(room.gram, room.grams, square);
        words_down(room.gram, rows, rows, room.gram_down);
        multiply_lower<F>(rows, down, {room.gram, down, 1}, {room.gram_down, TILE, rows}, room.squares);
        mirror<F>(room.squares, rows);
        fill_row(room.polynomial, square, [&](int64_t i) { return b * room.grams[i] + c * room.squares[i]; });
        words_down(room.x, rows, columns, room.x_factor);
        multiply<false, F>(rows, columns, down, {room.polynomial, down, 1}, {room.x_factor, TILE, columns}, room.next, columns);
        fill_row(room.x, rows * columns, [&](int64_t i) { return a * load(room.x[i]) + room.next[i]; });
    }
}

template <class E> void update(const Matrix<Sum<E>> &m, const Settings &s, Room<E> &room) {
    using W = Word<Sum<E>>;
    using S = Sum<E>;
    const bool tall = m.rows > m.columns;
    const int64_t height = std::min(m.rows, m.columns), width = std::max(m.rows, m.columns), numbers = height * width;
    const int64_t rows = padded<E>(height), columns = padded<E>(width);
    S *const found = room.next, *const turned = room.turned;
    const S new_share = S(1 - s.momentum), old_share = S(s.nesterov ? s.momentum : 1);
    S length = 0;
#pragma omp simd reduction(+ : length)
    for (int64_t i = 0; i < numbers; i++) {
        S gradient = m.gradient[i], momentum = m.momentum[i] + new_share * (gradient - m.momentum[i]);
        m.momentum[i] = momentum;
        found[i] = gradient + old_share * (momentum - gradient);
        length += found[i] * found[i];
    }
    length = std::sqrt(length);
    const S scale = 1 / (length < S(s.epsilon) ? S(s.epsilon) : length);
    if (tall)
        transpose(reinterpret_cast<const W *>(found), m.rows, m.columns, m.columns, reinterpret_cast<W *>(turned), m.rows);
    const S *wide = tall ? turned : found;
    std::memset(room.x, 0, size_t(rows * columns) * sizeof(*room.x));
    for (int64_t row = 0; row < height; row++)
        fill_row(room.x + row * columns, width, [=](int64_t i) { return wide[row * width + i] * scale; });
    orthogonalize(rows, columns, s, room);
    const S kept = S(1 - s.rate * s.decay), step = S(s.rate * std::sqrt(std::max(1.0, double(m.rows) / double(m.columns))));
    S *direction = tall ? turned : found;
    for (int64_t row = 0; row < height; row++)
#pragma omp simd
        for (int64_t i = 0; i < width; i++) direction[row * width + i] = load(room.x[row * columns + i]);
    if (tall) {
        transpose(reinterpret_cast<const W *>(turned), height, width, width, reinterpret_cast<W *>(found), height);
        direction = found;
    }
#pragma omp simd
    for (int64_t i = 0; i < numbers; i++) m.weight[i] = m.weight[i] * kept - step * direction[i];
}

template <class E> void muon(int64_t count, const Matrix<Sum<E>> *matrices, const Settings &settings) {
    int64_t size = 0, square = 0;
    for (int64_t n = 0; n < count; n++) {
        int64_t rows = padded<E>(matrices[n].rows), columns = padded<E>(matrices[n].columns);
        size = std::max(size, rows * columns);
        square = std::max(square, std::min(rows, columns) * std::min(rows, columns));
    }
#pragma omp parallel
    {
        Room<E> room(size, square);
#pragma omp for schedule(dynamic)
        for (int64_t n = 0; n < count; n++) update<E>(matrices[n], settings, room);
    }
}

}  // namespace

#define EXPORT(E, NAME)                                                                                               \
    KERNEL void muon_##NAME(int64_t count, const Matrix<Sum<E>> *matrices, double momentum, int64_t nesterov,         \
                            double decay, double rate, double a, double b, double c, int64_t iterations,              \
                            double epsilon) {                                                                         \
        muon<E>(count, matrices, {momentum, nesterov != 0, decay, rate, a, b, c, iterations, epsilon});               \
    }
EXPORT(BFloat16, bf16)
EXPORT(float, fp32)
#ifdef WITH_FP64  // for tests
EXPORT(double, fp64)
#endif
