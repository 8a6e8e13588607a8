/* Row functions of guided upsampling in plain C; see rows_plain.h. */
#ifndef CGT_ROWS_GUIDE_H
#define CGT_ROWS_GUIDE_H

#include "rows_plain.h"

/* Add the pixels of a row, and their products, to the sums of the columns, and subtract those
 * of another row. Both rows have planes of levels - 128: the inputs and the outputs. Products are
 * at most 2^14, so their differences fit into 16 bits. */
static void guide_accumulate(const int16_t *added, const int16_t *removed, size_t stride, size_t n,
                             int32_t *sums, size_t plane) {
    for (size_t k = 0; k < 6; k++) {
        const int16_t *restrict a = added + k * stride;
        const int16_t *restrict r = removed + k * stride;
        int32_t *restrict to = sums + k * plane;
        for (size_t i = 0; i < n; i++)
            to[i] += (int16_t)(a[i] - r[i]);
    }
    int32_t *restrict to = sums + 6 * plane;
    for (size_t j = 0; j < 6; j++) {
        for (size_t k = j < 3 ? j : 0; k < 3; k++, to += plane) {
            const int16_t *restrict a = added + j * stride;
            const int16_t *restrict b = added + k * stride;
            const int16_t *restrict c = removed + j * stride;
            const int16_t *restrict d = removed + k * stride;
            for (size_t i = 0; i < n; i++)
                to[i] += (int16_t)((int16_t)(a[i] * b[i]) - (int16_t)(c[i] * d[i]));
        }
    }
}

static void guide_accumulate_coefficients(const int16_t *added, const int16_t *removed,
                                          size_t stride, size_t n, int32_t *sums, size_t plane) {
    for (size_t k = 0; k < CGT_GUIDE_PLANES; k++) {
        const int16_t *restrict a = added + k * stride;
        const int16_t *restrict r = removed + k * stride;
        int32_t *restrict to = sums + k * plane;
        for (size_t i = 0; i < n; i++)
            to[i] += a[i] - r[i];
    }
}

static void add_neighbors(const int32_t *restrict in, size_t n, size_t distance,
                          int32_t *restrict out) {
    for (size_t i = 0; i < n; i++)
        out[i] = in[i] + in[i + distance];
}

static void add_to(const int32_t *restrict in, size_t n, int32_t *restrict out) {
    for (size_t i = 0; i < n; i++)
        out[i] += in[i];
}

/* out[i] = sum over k < taps of in[i + k]; taps is odd. Sums of 2, 4, 8 .. samples are combined as
 * the bits of `taps` say. Each buffer holds n + taps sums. */
static void box_sums(const int32_t *in, size_t n, int taps, int32_t *buffers[2], int32_t *out) {
    const size_t all = (size_t)taps;
    size_t done = 1;
    for (size_t i = 0; i < n; i++)
        out[i] = in[i];
    for (size_t width = 1; 2 * width <= all; width *= 2) {
        int32_t *to = buffers[0];
        add_neighbors(in, n + all - 2 * width, width, to);
        if (all & (2 * width)) {
            add_to(to + done, n, out);
            done += 2 * width;
        }
        in = to;
        buffers[0] = buffers[1];
        buffers[1] = to;
    }
}

/* Round to nearest, half to even, and clamp to what a coefficient may be. */
static inline int32_t round_coefficient(float f) {
    const float top = (float)CGT_MAX_COEFFICIENT;
    const float low = f > -top ? f : -top;
    const float v = low < top ? low : top;
    return (int32_t)((v + 12582912.0f) - 12582912.0f);
}

static inline float at_least(float v, float low) {
    return v > low ? v : low;
}

/* Solve for the coefficients of each window: A = cov(output, input) * (cov(input) + E)^-1,
 * b = mean(output) - A * mean(input), by the factorization L * D * transpose(L). The exact pivots
 * in D are at least those of E, which rounding errors could violate. */
static void guide_solve(const int32_t *restrict sums, size_t plane, size_t n,
                        const float *restrict inverse_area,
                        const cgt_regularization *regularization, int16_t *restrict out,
                        size_t stride) {
    const cgt_regularization e = *regularization;
    for (size_t i = 0; i < n; i++) {
        const int32_t *s = sums + i;
        const float inverse = inverse_area[i];
        const float m0 = (float)s[0 * plane] * inverse;
        const float m1 = (float)s[1 * plane] * inverse;
        const float m2 = (float)s[2 * plane] * inverse;
        const float s00 = ((float)s[6 * plane] * inverse - m0 * m0) + e.added[0];
        const float s01 = ((float)s[7 * plane] * inverse - m0 * m1) + e.added[1];
        const float s02 = ((float)s[8 * plane] * inverse - m0 * m2) + e.added[2];
        const float s11 = ((float)s[9 * plane] * inverse - m1 * m1) + e.added[3];
        const float s12 = ((float)s[10 * plane] * inverse - m1 * m2) + e.added[4];
        const float s22 = ((float)s[11 * plane] * inverse - m2 * m2) + e.added[5];
        const float i0 = 1.0f / at_least(s00, e.pivots[0]);
        const float l1 = s01 * i0;
        const float l2 = s02 * i0;
        const float i1 = 1.0f / at_least(s11 - l1 * s01, e.pivots[1]);
        const float t = s12 - l1 * s02;
        const float l21 = t * i1;
        const float i2 = 1.0f / at_least((s22 - l2 * s02) - l21 * t, e.pivots[2]);
        for (size_t o = 0; o < 3; o++) {
            const int32_t *p = s + (12 + 3 * o) * plane;
            const float mean = (float)s[(3 + o) * plane] * inverse;
            const float z0 = (float)p[0] * inverse - mean * m0;
            const float z1 = ((float)p[plane] * inverse - mean * m1) - l1 * z0;
            const float z2 = (((float)p[2 * plane] * inverse - mean * m2) - l2 * z0) - l21 * z1;
            const float a2 = z2 * i2;
            const float a1 = z1 * i1 - l21 * a2;
            const float a0 = (z0 * i0 - l1 * a1) - l2 * a2;
            const float scale = (float)(1 << CGT_SLOPE_BITS);
            const int32_t q0 = round_coefficient(a0 * scale);
            const int32_t q1 = round_coefficient(a1 * scale);
            const int32_t q2 = round_coefficient(a2 * scale);
            const float product = ((float)q0 * m0 + (float)q1 * m1) + (float)q2 * m2;
            const float b = (mean + 128.0f) - product * (1.0f / (float)(1 << CGT_SLOPE_BITS));
            int16_t *to = out + 4 * o * stride + i;
            to[0] = (int16_t)q0;
            to[stride] = (int16_t)q1;
            to[2 * stride] = (int16_t)q2;
            to[3 * stride] = (int16_t)round_coefficient(b * (float)(1 << CGT_OFFSET_BITS));
        }
    }
}

/* The mean of a coefficient over a window, times `detail`. For b, `levels` are the outputs - 128,
 * which get the rest of the weight, and half a level is added; for A, `levels` is NULL. */
static void guide_mean(const int32_t *restrict sums, const int16_t *restrict levels, size_t n,
                       const float *restrict inverse_area, float detail, int16_t *restrict out) {
    if (!levels) {
        for (size_t i = 0; i < n; i++)
            out[i] = (int16_t)round_coefficient(((float)sums[i] * inverse_area[i]) * detail);
        return;
    }
    const float scale = (float)(1 << CGT_OFFSET_BITS);
    const float rest = (1.0f - detail) * scale;
    for (size_t i = 0; i < n; i++) {
        const float b = ((float)sums[i] * inverse_area[i]) * detail;
        const float p = ((float)levels[i] + 128.0f) * rest;
        out[i] = (int16_t)round_coefficient((b + p) + 0.5f * scale);
    }
}

/* b of CGT_DETAIL: output - detail * input, and half a level. */
static void guide_detail(const int16_t *restrict input, const int16_t *restrict output, size_t n,
                         float detail, int16_t *restrict out) {
    const float scale = (float)(1 << CGT_OFFSET_BITS);
    for (size_t i = 0; i < n; i++)
        out[i] = (int16_t)round_coefficient(
            (((float)output[i] + 128.5f) - (float)input[i] * detail) * scale);
}

static inline int16_t lerp(int16_t a, int16_t b, int16_t weight) {
    return (int16_t)(a + mul_round((int16_t)(b - a), weight));
}

static inline void interpolate_any(const int16_t *in, const cgt_interpolation *table,
                                   int16_t *out) {
    for (size_t i = 0; i < table->n; i++) {
        const int16_t *p = in + table->first[i];
        out[i] = lerp(p[0], p[1], table->weight[i]);
    }
}

static inline int16_t add_saturated(int16_t a, int16_t b) {
    const int32_t v = a + b;
    return (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
}

/* Interpolate the coefficients of pixels from..n-1 vertically, and apply them. Slopes * 2^11 and
 * inputs * 2^8 give products * 2^4. */
static inline void guide_apply_tail(const cgt_guide_rows *rows, const uint8_t *const in[3],
                                    size_t from, size_t n, int outputs, uint8_t *const out[3]) {
    for (size_t i = from; i < n; i++) {
        /* All inputs are read first, because outputs may replace them. */
        const int16_t wide[3] = {(int16_t)((in[0][i] - 128) * 256),
                                 (int16_t)((in[1][i] - 128) * 256),
                                 (int16_t)((in[2][i] - 128) * 256)};
        for (int o = 0; o < outputs; o++) {
            int16_t c[4];
            int16_t product[3];
            for (size_t k = 0; k < 4; k++) {
                const size_t at = (4 * (size_t)o + k) * rows->plane + i;
                c[k] = lerp(rows->upper[at], rows->lower[at], rows->weight);
            }
            for (size_t k = 0; k < 3; k++)
                product[k] = mul_round(c[k], wide[k]);
            const int16_t sum = add_saturated(add_saturated(product[0], product[1]),
                                              add_saturated(product[2], c[3]));
            const int v = sum >> CGT_OFFSET_BITS;
            out[o][i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

#endif
