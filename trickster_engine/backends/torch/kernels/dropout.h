// Dropout that keeps no mask: whether an element is dropped follows from a seed and its place, forwards and backwards.
#pragma once

#include <cstdint>

// An integer hash in which every bit of the input reaches every bit of the output (lowbias32, Wellons 2018,
// https://nullprogram.com/blog/2018/07/31/).
inline uint32_t hashed(uint32_t x) {
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

struct Dropout {
    uint32_t dropped_below;  // of 2^32
    float scale;             // of what is kept
    uint32_t low, high;

    Dropout(double p, uint64_t seed)
        : dropped_below(uint32_t(p * 4294967296.0)), scale(float(1.0 / (1.0 - p))), low(uint32_t(seed)),
          high(uint32_t(seed >> 32)) {}

    bool on() const { return dropped_below > 0; }
    uint32_t row(int64_t index) const { return hashed(uint32_t(index) ^ low) + high; }
    // What an element is multiplied by.
    float factor(uint32_t row, int64_t column) const {
        return hashed(row + uint32_t(column) * 0x9e3779b9u) < dropped_below ? 0.0f : scale;
    }
};
