// Small matrix products out of the processor's caches, on vector registers: what attention is made of.
//
// The sums run over words: a word is what one instruction multiplies and adds at once within each lane. It is one number,
// or a pair of neighbouring ones where the processor has dot products of bf16 (AVX512-BF16).
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

#include "numbers.h"

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, TILE_ROWS = 8;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32, TILE_ROWS = 4;
#else
constexpr int VECTOR_BYTES = 16, TILE_ROWS = 4;
#endif

// What a format is multiplied in: bf16 where the processor can, else the format of its sums.
#ifdef __AVX512BF16__
template <class E> using Factor = E;
#else
template <class E> using Factor = Sum<E>;
#endif
template <class F> constexpr int WORD = std::is_same<F, BFloat16>::value ? 2 : 1;

// Columns of a tile: two vectors of sums.
template <class F> constexpr int TILE_COLUMNS = 2 * VECTOR_BYTES / int(sizeof(Sum<F>));

// A left factor, row by row of words; neighbouring rows and words lie `row` and `step` words apart.
template <class F> struct Left {
    const F *start;
    int64_t row, step;
};

// c[TILE_ROWS][TILE_COLUMNS] = left * right, or ADDed to it, where right is [words][columns][WORD] and `pitch` columns wide.
template <bool ADD, class F>
inline void tile(Left<F> left, const F *right, int64_t pitch, int64_t words, Sum<F> *c, int64_t c_pitch) {
    typedef Sum<F> Vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(Sum<F>)), may_alias));
    constexpr int LANES = VECTOR_BYTES / int(sizeof(Sum<F>));
    Vector sums[TILE_ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < TILE_ROWS; r++) {
        sums[r][0] = ADD ? *reinterpret_cast<Vector *>(c + r * c_pitch) : Vector{};
        sums[r][1] = ADD ? *reinterpret_cast<Vector *>(c + r * c_pitch + LANES) : Vector{};
    }
    for (int64_t word = 0; word < words; word++) {
        const F *b = right + word * pitch * WORD<F>, *a = left.start + word * left.step * WORD<F>;
#ifdef __AVX512BF16__
        if constexpr (WORD<F> == 2) {
            __m512bh first = (__m512bh)_mm512_loadu_si512(b), second = (__m512bh)_mm512_loadu_si512(b + 2 * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < TILE_ROWS; r++) {
                int32_t pair;
                std::memcpy(&pair, a + r * left.row * 2, 4);
                __m512bh all = (__m512bh)_mm512_set1_epi32(pair);
                sums[r][0] = (Vector)_mm512_dpbf16_ps((__m512)sums[r][0], all, first);
                sums[r][1] = (Vector)_mm512_dpbf16_ps((__m512)sums[r][1], all, second);
            }
            continue;
        }
#endif
        if constexpr (WORD<F> == 1) {
            Vector first = *reinterpret_cast<const Vector *>(b), second = *reinterpret_cast<const Vector *>(b + LANES);
#pragma GCC unroll 8
            for (int r = 0; r < TILE_ROWS; r++) {
                Sum<F> one = a[r * left.row];
                sums[r][0] += one * first;
                sums[r][1] += one * second;
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < TILE_ROWS; r++) {
        *reinterpret_cast<Vector *>(c + r * c_pitch) = sums[r][0];
        *reinterpret_cast<Vector *>(c + r * c_pitch + LANES) = sums[r][1];
    }
}

// A right factor: panels of a tile's columns, `panel` words apart, in which words follow each other `pitch` columns apart.
template <class F> struct Right {
    const F *start;
    int64_t panel, pitch;
};

// c[rows][columns] = left * right, or ADDed to it, in tiles; rows and columns are multiples of a tile's.
template <bool ADD, class F>
inline void multiply(int64_t rows, int64_t columns, int64_t words, Left<F> left, Right<F> right, Sum<F> *c,
                     int64_t c_pitch) {
    for (int64_t column = 0; column < columns; column += TILE_COLUMNS<F>) {
        const F *panel = right.start + column / TILE_COLUMNS<F> * right.panel * WORD<F>;
        for (int64_t row = 0; row < rows; row += TILE_ROWS)
            tile<ADD, F>({left.start + row * left.row * WORD<F>, left.row, left.step}, panel, right.pitch, words,
                         c + row * c_pitch + column, c_pitch);
    }
}

// Rows [rows][columns] as a right factor whose words run along the rows: out[rows / WORD][columns][WORD].
template <class F> inline void words_down(const F *from, int64_t rows, int64_t columns, F *out) {
    if constexpr (WORD<F> == 1) {
        std::memcpy(out, from, size_t(rows * columns) * sizeof(F));
    } else {
        for (int64_t row = 0; row < rows; row += 2) {
            const F *upper = from + row * columns, *lower = upper + columns;
            uint32_t *to = reinterpret_cast<uint32_t *>(out + row * columns);
#pragma omp simd
            for (int64_t i = 0; i < columns; i++) to[i] = uint32_t(upper[i].bits) | uint32_t(lower[i].bits) << 16;
        }
    }
}

// A vector's worth of rows of as many words, transposed in registers: at each stage the blocks beside the diagonal, first
// half as wide as all, then a quarter, change places (Eklundh 1972, doi:10.1109/T-C.1972.223584).
template <class Word> struct Square {
    static constexpr int LANES = VECTOR_BYTES / int(sizeof(Word));
    typedef Word Vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(Word)), may_alias));

    template <int HALF, int... I> static void stage(Vector *rows, std::integer_sequence<int, I...> lanes) {
        constexpr Vector UPPER = {(I & HALF ? LANES + I - HALF : I)...}, LOWER = {(I & HALF ? LANES + I : I + HALF)...};
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            if (!(i & HALF)) {
                Vector a = rows[i], b = rows[i + HALF];
                rows[i] = __builtin_shuffle(a, b, UPPER);
                rows[i + HALF] = __builtin_shuffle(a, b, LOWER);
            }
        if constexpr (HALF > 1) stage<HALF / 2>(rows, lanes);
    }

    static void transpose(const Word *from, int64_t pitch, Word *to, int64_t to_pitch) {
        Vector rows[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) rows[i] = *reinterpret_cast<const Vector *>(from + i * pitch);
        stage<LANES / 2>(rows, std::make_integer_sequence<int, LANES>());
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) *reinterpret_cast<Vector *>(to + i * to_pitch) = rows[i];
    }
};

// What transposes numbers of four or eight bytes, or pairs of two.
template <class S> using Word = typename std::conditional<sizeof(S) == 8, uint64_t, uint32_t>::type;

// Words [rows][columns], `pitch` apart, transposed to words [columns][rows], `to_pitch` apart.
template <class W> inline void transpose(const W *from, int64_t rows, int64_t columns, int64_t pitch, W *to, int64_t to_pitch) {
    constexpr int64_t SIDE = Square<W>::LANES;
    const int64_t whole_rows = rows / SIDE * SIDE, whole_columns = columns / SIDE * SIDE;
    for (int64_t column = 0; column < whole_columns; column += SIDE)
        for (int64_t row = 0; row < whole_rows; row += SIDE)
            Square<W>::transpose(from + row * pitch + column, pitch, to + column * to_pitch + row, to_pitch);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t column = row < whole_rows ? whole_columns : 0; column < columns; column++)
            std::memcpy(to + column * to_pitch + row, from + row * pitch + column, sizeof(W));
}

// Rows [rows][columns], transposed, as a right factor whose words run along the columns, each panel for itself:
// out[rows / TILE_COLUMNS][columns / WORD][TILE_COLUMNS][WORD].
template <class F> inline void words_across(const F *from, int64_t rows, int64_t columns, F *out) {
    using W = Word<F>;
    const int64_t words = columns / WORD<F>;
    for (int64_t first = 0; first < rows; first += TILE_COLUMNS<F>)
        transpose(reinterpret_cast<const W *>(from) + first * words, TILE_COLUMNS<F>, words, words,
                  reinterpret_cast<W *>(out) + first * words, TILE_COLUMNS<F>);
}

// Memory for a thread's own use, handed out piece by piece, each at the beginning of a cache line.
class Workspace {
  public:
    explicit Workspace(size_t bytes) : memory_(static_cast<char *>(std::aligned_alloc(64, rounded(bytes)))) {
        if (!memory_) throw std::bad_alloc();
    }
    ~Workspace() { std::free(memory_); }
    Workspace(const Workspace &) = delete;
    Workspace &operator=(const Workspace &) = delete;
    template <class T> T *take(int64_t count) {
        T *piece = reinterpret_cast<T *>(memory_ + used_);
        used_ += rounded(size_t(count) * sizeof(T));
        return piece;
    }

  private:
    static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }
    char *memory_;
    size_t used_ = 0;
};
