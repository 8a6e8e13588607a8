/* The reference: what every other table must equal, bit for bit. */
#include "rows_plain.h"

static void columns(const uint8_t *const *rows, int taps, const int16_t *weights, int shift,
                    size_t n, int16_t *out) {
    columns_rest(rows, taps, weights, shift, 0, n, out);
}

static inline void sums(const cgt_axis *axis, int channels, const int16_t *weights,
                        const int16_t *in, int32_t *out, size_t plane) {
    for (int o = 0; o < axis->out; o++) {
        const int16_t *w = weights + (size_t)o * (size_t)axis->taps;
        const int16_t *p = in + (size_t)axis->first[o] * (size_t)channels;
        for (int c = 0; c < channels; c++) {
            int32_t sum = 0;
            for (int k = 0; k < axis->count[o]; k++)
                sum += w[k] * p[k * channels + c];
            out[(size_t)c * plane + (size_t)o] = sum;
        }
    }
}

static void sums_1(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                   int32_t *out, size_t plane) {
    sums(axis, 1, weights, in, out, plane);
}

static void sums_3(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                   int32_t *out, size_t plane) {
    sums(axis, 3, weights, in, out, plane);
}

static void sums_4(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                   int32_t *out, size_t plane) {
    sums(axis, 4, weights, in, out, plane);
}

static void split_3(const uint8_t *in, size_t n, const float *scale_, const float *offset,
                    float *const *out) {
    split_rest(in, 0, n, 3, scale_, offset, out);
}

static void split_4(const uint8_t *in, size_t n, const float *scale_, const float *offset,
                    float *const *out) {
    split_rest(in, 0, n, 4, scale_, offset, out);
}

static void merge_3(const uint8_t *const *planes, size_t n, uint8_t *out) {
    merge_rest(planes, 0, n, 3, out);
}

static void merge_4(const uint8_t *const *planes, size_t n, uint8_t *out) {
    merge_rest(planes, 0, n, 4, out);
}

static void to_half(const float *in, size_t n, uint16_t *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = half_of(in[i]);
}

static void from_half(const uint16_t *in, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = float_of(in[i]);
}

static void yuv(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step, size_t n,
                const int16_t k[6], uint8_t *const rgb[3]) {
    yuv_rest(y, u, v, step, 0, n, k, rgb);
}

const cgt_rows cgt_rows_scalar = {
    .name = "scalar",
    .columns = columns,
    .sums = {NULL, sums_1, NULL, sums_3, sums_4},
    .split = {NULL, split_1, NULL, split_3, split_4},
    .merge = {NULL, merge_1, NULL, merge_3, merge_4},
    .scale = scale,
    .widen = widen,
    .blend = blend,
    .narrow = narrow,
    .quantise = quantise,
    .truncate = truncate_,
    .to_half = to_half,
    .from_half = from_half,
    .yuv = yuv,
};
