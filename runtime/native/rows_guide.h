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

/* out[i] = sum over 1 <= k <= taps of in[i + k], for i >= from; `sum` is that before `from`. */
static inline void box_sums_tail(const int32_t *restrict in, size_t from, size_t n, size_t taps,
                                 int32_t sum, int32_t *restrict out) {
    for (size_t i = from; i < n; i++) {
        sum += in[i + taps] - in[i];
        out[i] = sum;
    }
}

static inline int32_t first_box_sum(const int32_t *in, size_t taps) {
    int32_t sum = 0;
    for (size_t k = 0; k < taps; k++)
        sum += in[k];
    return sum;
}

/* Round to nearest, half to even, and clamp to what a coefficient may be. */
static inline float round_coefficient(float f) {
    const float top = (float)CGT_MAX_COEFFICIENT;
    const float low = f > -top ? f : -top;
    const float v = low < top ? low : top;
    return (v + 12582912.0f) - 12582912.0f;
}

static inline float at_least(float v, float low) {
    return v > low ? v : low;
}

/* Windows that are solved at a time: a step of the computation is a loop over arrays of this
 * length, which compilers vectorize. */
enum { WINDOWS = 64 };

typedef float window_values[WINDOWS];

/* cov = mean of the products - product of the means + added */
static inline void covariance(const int32_t *restrict products, size_t n,
                              const float *restrict inverse_area, const float *restrict mean,
                              const float *restrict other_mean, float added, float *restrict cov) {
    for (size_t i = 0; i < n; i++)
        cov[i] = ((float)products[i] * inverse_area[i] - mean[i] * other_mean[i]) + added;
}

static inline void means(const int32_t *restrict sums, size_t n, const float *restrict inverse_area,
                         float *restrict out) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)sums[i] * inverse_area[i];
}

/* Factor the matrices s (upper triangle by rows) into L * D * transpose(L). L has l[0] and l[1] in
 * its first column and l[2] in its second; d are the inverses of D. */
static inline void factor(size_t n, window_values s[6], const float pivots[3], window_values l[3],
                          window_values d[3]) {
    const float p0 = pivots[0];
    const float p1 = pivots[1];
    const float p2 = pivots[2];
    for (size_t i = 0; i < n; i++) {
        const float inverse0 = 1.0f / at_least(s[0][i], p0);
        const float l1 = s[1][i] * inverse0;
        const float l2 = s[2][i] * inverse0;
        const float inverse1 = 1.0f / at_least(s[3][i] - l1 * s[1][i], p1);
        const float below = s[4][i] - l1 * s[2][i];
        const float l21 = below * inverse1;
        l[0][i] = l1;
        l[1][i] = l2;
        l[2][i] = l21;
        d[0][i] = inverse0;
        d[1][i] = inverse1;
        d[2][i] = 1.0f / at_least((s[5][i] - l2 * s[2][i]) - l21 * below, p2);
    }
}

/* Solve for the slopes of one output, whose covariances with the inputs are c, and round them. */
static inline void substitute(size_t n, window_values c[3], window_values l[3], window_values d[3],
                              window_values slopes[3]) {
    const float scale = (float)(1 << CGT_SLOPE_BITS);
    for (size_t i = 0; i < n; i++) {
        const float z0 = c[0][i];
        const float z1 = c[1][i] - l[0][i] * z0;
        const float z2 = (c[2][i] - l[1][i] * z0) - l[2][i] * z1;
        const float x2 = z2 * d[2][i];
        const float x1 = z1 * d[1][i] - l[2][i] * x2;
        const float x0 = (z0 * d[0][i] - l[0][i] * x1) - l[1][i] * x2;
        slopes[0][i] = round_coefficient(x0 * scale);
        slopes[1][i] = round_coefficient(x1 * scale);
        slopes[2][i] = round_coefficient(x2 * scale);
    }
}

static inline void to_words(const float *restrict in, size_t n, int16_t *restrict out) {
    for (size_t i = 0; i < n; i++)
        out[i] = (int16_t)(int32_t)in[i];
}

static inline void offsets(size_t n, const float *restrict mean, window_values m[3],
                           window_values slopes[3], int16_t *restrict out) {
    const float unit = 1.0f / (float)(1 << CGT_SLOPE_BITS);
    const float scale = (float)(1 << CGT_OFFSET_BITS);
    for (size_t i = 0; i < n; i++) {
        const float product =
            ((slopes[0][i] * m[0][i] + slopes[1][i] * m[1][i]) + slopes[2][i] * m[2][i]) * unit;
        out[i] = (int16_t)(int32_t)round_coefficient(((mean[i] + 128.0f) - product) * scale);
    }
}

/* Solve for the coefficients of each window: A = cov(output, input) * (cov(input) + E)^-1,
 * b = mean(output) - A * mean(input). The exact pivots in D are at least those of E, which
 * rounding errors could violate. */
static void guide_solve(const int32_t *sums, size_t plane, size_t n, const float *inverse_area,
                        const cgt_regularization *regularization, int16_t *out, size_t stride) {
    for (size_t x = 0; x < n; x += WINDOWS) {
        const size_t count = n - x < WINDOWS ? n - x : WINDOWS;
        const float *inverse = inverse_area + x;
        const int32_t *s = sums + x;
        window_values m[3];
        window_values matrix[6];
        window_values l[3];
        window_values d[3];
        for (size_t k = 0; k < 3; k++)
            means(s + k * plane, count, inverse, m[k]);
        for (size_t j = 0, at = 0; j < 3; j++)
            for (size_t k = j; k < 3; k++, at++)
                covariance(s + (6 + at) * plane, count, inverse, m[j], m[k],
                           regularization->added[at], matrix[at]);
        factor(count, matrix, regularization->pivots, l, d);
        for (size_t o = 0; o < 3; o++) {
            int16_t *to = out + 4 * o * stride + x;
            window_values mean;
            window_values c[3];
            window_values slopes[3];
            means(s + (3 + o) * plane, count, inverse, mean);
            for (size_t k = 0; k < 3; k++)
                covariance(s + (12 + 3 * o + k) * plane, count, inverse, mean, m[k], 0.0f, c[k]);
            substitute(count, c, l, d, slopes);
            for (size_t k = 0; k < 3; k++)
                to_words(slopes[k], count, to + k * stride);
            offsets(count, mean, m, slopes, to + 3 * stride);
        }
    }
}

/* The mean of a coefficient over a window, times `detail`. For b, `levels` are the outputs - 128,
 * which get the rest of the weight, and half a level is added; for A, `levels` is NULL. */
static void guide_mean(const int32_t *restrict sums, const int16_t *restrict levels, size_t n,
                       const float *restrict inverse_area, float detail, int16_t *restrict out) {
    if (!levels) {
        for (size_t i = 0; i < n; i++)
            out[i] = (int16_t)(int32_t)round_coefficient(((float)sums[i] * inverse_area[i]) * detail);
        return;
    }
    const float scale = (float)(1 << CGT_OFFSET_BITS);
    const float rest = (1.0f - detail) * scale;
    for (size_t i = 0; i < n; i++) {
        const float b = ((float)sums[i] * inverse_area[i]) * detail;
        const float p = ((float)levels[i] + 128.0f) * rest;
        out[i] = (int16_t)(int32_t)round_coefficient((b + p) + 0.5f * scale);
    }
}

/* b of CGT_DETAIL: output - detail * input, and half a level. */
static void guide_detail(const int16_t *restrict input, const int16_t *restrict output, size_t n,
                         float detail, int16_t *restrict out) {
    const float scale = (float)(1 << CGT_OFFSET_BITS);
    for (size_t i = 0; i < n; i++)
        out[i] = (int16_t)(int32_t)round_coefficient(
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

static void block_means(const uint8_t *restrict top, const uint8_t *restrict bottom, size_t n,
                        uint8_t *restrict out) {
    for (size_t i = 0; i < n / 2; i++)
        out[i] = (uint8_t)((top[2 * i] + top[2 * i + 1] + bottom[2 * i] + bottom[2 * i + 1] + 2) >>
                           2);
    if (n % 2) /* the last column counts twice */
        out[n / 2] = (uint8_t)((2 * top[n - 1] + 2 * bottom[n - 1] + 2) >> 2);
}

static void split_pairs(const uint8_t *restrict in, size_t n, uint8_t *restrict first,
                        uint8_t *restrict second) {
    for (size_t i = 0; i < n; i++) {
        first[i] = in[2 * i];
        second[i] = in[2 * i + 1];
    }
}

static void join_pairs(const uint8_t *restrict first, const uint8_t *restrict second, size_t n,
                       uint8_t *restrict out) {
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = first[i];
        out[2 * i + 1] = second[i];
    }
}

static void repeat(const uint8_t *restrict in, size_t n, uint8_t *restrict out) {
    for (size_t i = 0; i < n; i++)
        out[2 * i] = out[2 * i + 1] = in[i];
}

#endif
