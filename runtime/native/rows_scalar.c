/* Scalar row functions: the reference that every other table must match bit for bit. */
#include "rows_guide.h"

static void vertical_pass(const uint8_t *const *rows, int taps, const int16_t *weights, int shift,
                          size_t n, int16_t *out) {
    vertical_pass_tail(rows, taps, weights, shift, 0, n, out);
}

static inline void horizontal_pass(const cgt_axis *axis, int channels, const int16_t *weights,
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

static void horizontal_pass_1(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                              int32_t *out, size_t plane) {
    horizontal_pass(axis, 1, weights, in, out, plane);
}

static void horizontal_pass_3(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                              int32_t *out, size_t plane) {
    horizontal_pass(axis, 3, weights, in, out, plane);
}

static void horizontal_pass_4(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                              int32_t *out, size_t plane) {
    horizontal_pass(axis, 4, weights, in, out, plane);
}

static void deinterleave_3(const uint8_t *in, size_t n, const float *scale, const float *offset,
                           float *const *out) {
    deinterleave_tail(in, 0, n, 3, scale, offset, out);
}

static void deinterleave_4(const uint8_t *in, size_t n, const float *scale, const float *offset,
                           float *const *out) {
    deinterleave_tail(in, 0, n, 4, scale, offset, out);
}

static void interleave_3(const uint8_t *const *planes, size_t n, uint8_t *out) {
    interleave_tail(planes, 0, n, 3, out);
}

static void interleave_4(const uint8_t *const *planes, size_t n, uint8_t *out) {
    interleave_tail(planes, 0, n, 4, out);
}

static void split(const uint8_t *in, size_t n, uint8_t *const planes[3]) {
    split_tail(in, 0, n, planes);
}

static void f32_to_f16(const float *in, size_t n, uint16_t *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = f32_to_f16_value(in[i]);
}

static void f16_to_f32(const uint16_t *in, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = f16_to_f32_value(in[i]);
}

static void yuv_to_rgb(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step, size_t n,
                       const int16_t k[6], uint8_t *const rgb[3]) {
    yuv_to_rgb_tail(y, u, v, step, 0, n, k, rgb);
}

static void weigh_rgb(const uint8_t *const rgb[3], size_t n, const int16_t weights[3],
                      int16_t offset, uint8_t *out) {
    weigh_rgb_tail(rgb, 0, n, weights, offset, out);
}

static void rgb_to_chroma(const uint8_t *const top[3], const uint8_t *const bottom[3], size_t n,
                          const cgt_yuv_weights *weights, int step, uint8_t *u, uint8_t *v) {
    rgb_to_chroma_tail(top, bottom, 0, n, weights, step, u, v);
}

static void box_sums(const int32_t *in, size_t n, size_t taps, int32_t *out) {
    box_sums_tail(in, 0, n, taps, first_box_sum(in, taps), out);
}

static void interpolate(const int16_t *in, const cgt_interpolation *table, int16_t *out) {
    interpolate_any(in, table, out);
}

static void guide_apply_1(const cgt_guide_rows *rows, const uint8_t *const in[3], size_t n,
                          uint8_t *const out[3]) {
    guide_apply_tail(rows, in, 0, n, 1, out);
}

static void guide_apply_2(const cgt_guide_rows *rows, const uint8_t *const in[3], size_t n,
                          uint8_t *const out[3]) {
    guide_apply_tail(rows, in, 0, n, 2, out);
}

static void guide_apply_3(const cgt_guide_rows *rows, const uint8_t *const in[3], size_t n,
                          uint8_t *const out[3]) {
    guide_apply_tail(rows, in, 0, n, 3, out);
}

const cgt_kernels cgt_kernels_scalar = {
    .name = "scalar",
    .vertical_pass = vertical_pass,
    .horizontal_pass = {NULL, horizontal_pass_1, NULL, horizontal_pass_3, horizontal_pass_4},
    .deinterleave = {NULL, deinterleave_1, NULL, deinterleave_3, deinterleave_4},
    .split = split,
    .interleave = {NULL, interleave_1, NULL, interleave_3, interleave_4},
    .scale = scale_sums,
    .sums_to_levels = sums_to_levels,
    .u8_to_i16 = u8_to_i16,
    .vertical_pass_u8 = vertical_pass_u8,
    .sums_to_u8 = sums_to_u8,
    .float_to_u8 = float_to_u8,
    .float_to_u8_truncated = float_to_u8_truncated,
    .f32_to_f16 = f32_to_f16,
    .f16_to_f32 = f16_to_f32,
    .yuv_to_rgb = yuv_to_rgb,
    .weigh_rgb = weigh_rgb,
    .rgb_to_chroma = rgb_to_chroma,
    .block_means = block_means,
    .split_pairs = split_pairs,
    .join_pairs = join_pairs,
    .repeat = repeat,
    .guide_accumulate = guide_accumulate,
    .guide_accumulate_coefficients = guide_accumulate_coefficients,
    .box_sums = box_sums,
    .guide_solve = guide_solve,
    .guide_mean = guide_mean,
    .guide_detail = guide_detail,
    .interpolate = interpolate,
    .guide_apply = {NULL, guide_apply_1, guide_apply_2, guide_apply_3},
};
