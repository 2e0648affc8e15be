// The weights of a block in the format of the matrix products, one after the other in one piece.

#include "numbers.h"

namespace {

// A row of the table that is handed over: where a tensor lies, and how many numbers it has.
template <class S> struct Piece {
    const S *start;
    int64_t count;
};

template <class E> void round_all(int64_t count, const Piece<Sum<E>> *pieces, E *to) {
    constexpr int64_t AT_ONCE = 8192;
#pragma omp parallel
    for (int64_t n = 0, before = 0; n < count; before += pieces[n++].count)
#pragma omp for schedule(static) nowait
        for (int64_t first = 0; first < pieces[n].count; first += AT_ONCE) {
            int64_t here = pieces[n].count - first < AT_ONCE ? pieces[n].count - first : AT_ONCE;
            store_row(to + before + first, pieces[n].start + first, here);
        }
}

}  // namespace

#define EXPORT(E, NAME)                                                                                               \
    KERNEL void round_all_##NAME(int64_t count, const Piece<Sum<E>> *pieces, E *to) { round_all<E>(count, pieces, to); }
EXPORT(BFloat16, bf16)
EXPORT(float, fp32)
#ifdef WITH_FP64  // for tests
EXPORT(double, fp64)
#endif
