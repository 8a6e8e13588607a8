/* Row functions in plain C, which compilers vectorize well. Each rows_*.c includes
 * them once and so compiles them for its own instruction set. They use no
 * operation whose result could depend on the instruction set. */
#ifndef CGT_ROWS_PLAIN_H
#define CGT_ROWS_PLAIN_H

#include "internal.h"

static void scale_sums(const int32_t *restrict in, size_t n, int32_t top, float scale, float offset,
                       float *restrict out) {
    for (size_t i = 0; i < n; i++) {
        /* max(in[i], 0), in a form that GCC compiles without a branch */
        const int32_t v = in[i] & ~(in[i] >> 31);
        out[i] = (float)(v < top ? v : top) * scale + offset;
    }
}

static void sums_to_levels(const int32_t *restrict in, size_t n, int bits, uint8_t *restrict out) {
    const int32_t half = (int32_t)1 << (bits - 1);
    for (size_t i = 0; i < n; i++) {
        const int32_t v = in[i] & ~(in[i] >> 31);
        const int32_t level = (v + half) >> bits;
        out[i] = (uint8_t)(level < 255 ? level : 255);
    }
}

static void u8_to_i16(const uint8_t *restrict in, size_t n, int16_t *restrict out) {
    for (size_t i = 0; i < n; i++)
        out[i] = in[i];
}

enum { WEIGHT_BITS = 22, LOW_BITS = 11 }; /* of Pillow's weights */

static inline uint8_t clamp_to_u8(int32_t sum) {
    const int32_t v = (sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void vertical_pass_u8(const uint8_t *const *rows, int taps, const int32_t *weights, size_t n,
                             uint8_t *restrict out) {
    enum { BLOCK = 64 };
    for (size_t i = 0; i < n; i += BLOCK) {
        int32_t sums[BLOCK] = {0};
        const size_t m = n - i < BLOCK ? n - i : BLOCK;
        for (int k = 0; k < taps; k++) {
            const uint8_t *row = rows[k] + i;
            const int32_t w = weights[k];
            if (m == BLOCK) /* a length known at compile time */
                for (size_t j = 0; j < BLOCK; j++)
                    sums[j] += w * row[j];
            else
                for (size_t j = 0; j < m; j++)
                    sums[j] += w * row[j];
        }
        for (size_t j = 0; j < m; j++)
            out[i + j] = clamp_to_u8(sums[j]);
    }
}

static void sums_to_u8(const int32_t *restrict high, const int32_t *restrict low, size_t n,
                       uint8_t *restrict out) {
    for (size_t i = 0; i < n; i++)
        /* Unsigned, because the halves may overflow even if their sum does not. */
        out[i] = clamp_to_u8((int32_t)(((uint32_t)high[i] << LOW_BITS) + (uint32_t)low[i]));
}

/* Map [-1, 1] to [0, 255], clamped. NaN fails both comparisons and becomes 0. */
static inline float to_u8_range(float f) {
    const float v = (f + 1.0f) * 127.5f;
    const float non_negative = v > 0.0f ? v : 0.0f;
    return non_negative < 255.0f ? non_negative : 255.0f;
}

static void float_to_u8(const float *restrict in, size_t n, uint8_t *restrict out) {
    /* Adding 1.5 * 2^23 rounds to an integer, half to even. */
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(int32_t)((to_u8_range(in[i]) + 12582912.0f) - 12582912.0f);
}

static void float_to_u8_truncated(const float *restrict in, size_t n, uint8_t *restrict out) {
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(int32_t)to_u8_range(in[i]);
}

/* Return (a * b + 2^14) >> 15, as pmulhrsw and sqrdmulh do. */
static inline int16_t mul_round(int16_t a, int16_t b) {
    return (int16_t)((((int32_t)a * b >> 14) + 1) >> 1);
}

static inline uint8_t level_to_u8(int v) {
    v = (v + 16) >> 5;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Convert pixels from..n-1. Luma * 2^7 times its coefficient * 2^13, and chroma * 2^8
 * times its coefficient * 2^12, shifted right by 15, are in units of 1/32 level: at
 * most 255 * 1.17 * 32 + 128 * 2.12 * 32 < 2^15. */
static inline void yuv_to_rgb_tail(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step,
                                   size_t from, size_t n, const int16_t k[6],
                                   uint8_t *const rgb[3]) {
    for (size_t i = from; i < n; i++) {
        const int16_t wide_u = (int16_t)((u[i / 2 * (size_t)step] - 128) * 256);
        const int16_t wide_v = (int16_t)((v[i / 2 * (size_t)step] - 128) * 256);
        const int16_t luma = mul_round((int16_t)((y[i] - k[0]) * 128), k[1]);
        rgb[0][i] = level_to_u8(luma + mul_round(wide_v, k[2]));
        rgb[1][i] = level_to_u8(luma + mul_round(wide_u, k[3]) + mul_round(wide_v, k[4]));
        rgb[2][i] = level_to_u8(luma + mul_round(wide_u, k[5]));
    }
}

/* A weighted sum of levels * 2^7, in units of 1/128 level. The weights sum to at most 2^15. */
static inline int16_t weigh(int16_t r, int16_t g, int16_t b, const int16_t w[3]) {
    return (int16_t)(mul_round(r, w[0]) + mul_round(g, w[1]) + mul_round(b, w[2]));
}

static inline uint8_t weighed_to_u8(int16_t sum, int16_t offset) {
    const int v = (uint16_t)(sum + offset) >> 7;
    return (uint8_t)(v < 255 ? v : 255);
}

static inline void weigh_rgb_tail(const uint8_t *const rgb[3], size_t from, size_t n,
                                  const int16_t weights[3], int16_t offset, uint8_t *out) {
    for (size_t i = from; i < n; i++)
        out[i] = weighed_to_u8(weigh((int16_t)(rgb[0][i] << 7), (int16_t)(rgb[1][i] << 7),
                                     (int16_t)(rgb[2][i] << 7), weights),
                               offset);
}

/* A chroma sample from the sums of four pixels, at most 4 * 255 * 2^5 < 2^15. */
static inline uint8_t chroma_of(int r, int g, int b, const int16_t w[3], int16_t middle) {
    return weighed_to_u8(weigh((int16_t)(r << 5), (int16_t)(g << 5), (int16_t)(b << 5), w), middle);
}

static inline void rgb_to_chroma_tail(const uint8_t *const top[3], const uint8_t *const bottom[3],
                                      size_t from, size_t n, const cgt_yuv_weights *w, int step,
                                      uint8_t *u, uint8_t *v) {
    for (size_t i = from; i < n; i += 2) {
        const size_t right = i + 1 < n ? i + 1 : i;
        int sums[3];
        for (int c = 0; c < 3; c++)
            sums[c] = top[c][i] + top[c][right] + bottom[c][i] + bottom[c][right];
        u[i / 2 * (size_t)step] = chroma_of(sums[0], sums[1], sums[2], w->u, w->middle);
        v[i / 2 * (size_t)step] = chroma_of(sums[0], sums[1], sums[2], w->v, w->middle);
    }
}

/* For one channel, deinterleave and interleave are plain loops. */
static void deinterleave_1(const uint8_t *in, size_t n, const float *scale, const float *offset,
                           float *const *out) {
    const float factor = scale[0];
    const float bias = offset[0];
    float *restrict to = out[0];
    for (size_t i = 0; i < n; i++)
        to[i] = (float)in[i] * factor + bias;
}

static void interleave_1(const uint8_t *const *planes, size_t n, uint8_t *restrict out) {
    const uint8_t *in = planes[0];
    for (size_t i = 0; i < n; i++)
        out[i] = in[i];
}

static inline void deinterleave_tail(const uint8_t *in, size_t from, size_t n, int channels,
                                     const float *scale, const float *offset, float *const *out) {
    const size_t c = (size_t)channels;
    for (size_t i = from; i < n; i++)
        for (size_t j = 0; j < c; j++)
            out[j][i] = (float)in[i * c + j] * scale[j] + offset[j];
}

static inline void split_tail(const uint8_t *in, size_t from, size_t n, uint8_t *const planes[3]) {
    for (size_t i = from; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            planes[c][i] = in[i * 3 + c];
}

static inline void
interleave_tail(const uint8_t *const *planes, size_t from, size_t n, int channels, uint8_t *out) {
    const size_t c = (size_t)channels;
    for (size_t i = from; i < n; i++)
        for (size_t j = 0; j < c; j++)
            out[i * c + j] = planes[j][i];
}

/* cgt_kernels.vertical_pass for columns from..n-1, the rest of a row. */
static inline void vertical_pass_tail(const uint8_t *const *rows, int taps, const int16_t *weights,
                                      int shift, size_t from, size_t n, int16_t *out) {
    for (size_t i = from; i < n; i++) {
        int32_t sum = (int32_t)1 << (shift - 1);
        for (int k = 0; k < taps; k++)
            sum += weights[k] * rows[k][i];
        out[i] = (int16_t)(sum >> shift);
    }
}

/* Convert IEEE binary32 to binary16, to nearest, half to even; NaN stays NaN. */
static inline uint16_t f32_to_f16_value(float f) {
    union {
        float f;
        uint32_t u;
    } v = {f};
    const uint32_t sign = v.u >> 16 & 0x8000u;
    const uint32_t magnitude = v.u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) /* quiet NaN with the top bits of the payload */
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x477ff000u) /* rounds to 65536 or more: infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        /* Below 2^-14, binary16 values are multiples of 2^-24: the last place of 0.5f. */
        v.u = magnitude;
        v.f += 0.5f;
        return (uint16_t)(sign | (v.u - 0x3f000000u));
    }
    const uint32_t odd = magnitude >> 13 & 1u;
    return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

static inline float f16_to_f32_value(uint16_t half) {
    union {
        uint32_t u;
        float f;
    } v;
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u) { /* infinity or quiet NaN */
        v.u = sign | 0x7f800000u | (magnitude & 0x3ffu) << 13 |
              (magnitude > 0x7c00u ? 0x400000u : 0u);
        return v.f;
    }
    if (magnitude < 0x400u) {
        v.f = (float)magnitude * 0x1p-24f;
        v.u |= sign;
        return v.f;
    }
    v.u = sign | ((magnitude << 13) + 0x38000000u);
    return v.f;
}

#endif
