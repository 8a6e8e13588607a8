/* Row functions for NEON on aarch64. */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "rows_guide.h"

static void vertical_pass_16(const uint8_t *const *rows, int taps, const int16_t *weights,
                             int shift, size_t column, int16_t *out) {
    int32x4_t s0 = vdupq_n_s32(1 << (shift - 1));
    int32x4_t s1 = s0;
    int32x4_t s2 = s0;
    int32x4_t s3 = s0;
    for (int k = 0; k < taps; k++) {
        const uint8x16_t a = vld1q_u8(rows[k] + column);
        const int16x8_t lo = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(a)));
        const int16x8_t hi = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(a)));
        const int16_t w = weights[k];
        s0 = vmlal_n_s16(s0, vget_low_s16(lo), w);
        s1 = vmlal_n_s16(s1, vget_high_s16(lo), w);
        s2 = vmlal_n_s16(s2, vget_low_s16(hi), w);
        s3 = vmlal_n_s16(s3, vget_high_s16(hi), w);
    }
    const int32x4_t shift_count = vdupq_n_s32(-shift);
    vst1q_s16(out + column, vcombine_s16(vqmovn_s32(vshlq_s32(s0, shift_count)),
                                         vqmovn_s32(vshlq_s32(s1, shift_count))));
    vst1q_s16(out + column + 8, vcombine_s16(vqmovn_s32(vshlq_s32(s2, shift_count)),
                                             vqmovn_s32(vshlq_s32(s3, shift_count))));
}

static void vertical_pass(const uint8_t *const *rows, int taps, const int16_t *weights, int shift,
                          size_t n, int16_t *out) {
    if (n < 16) {
        vertical_pass_tail(rows, taps, weights, shift, 0, n, out);
        return;
    }
    for (size_t i = 0; i + 16 <= n; i += 16)
        vertical_pass_16(rows, taps, weights, shift, i, out);
    if (n % 16)
        vertical_pass_16(rows, taps, weights, shift, n - 16, out);
}

/* Return the sums of all channels of one output. For 3 channels, the fourth sum is unused. */
static inline int32x4_t
dot(const cgt_axis *axis, int o, int channels, const int16_t *weights, const int16_t *in) {
    const int taps = axis->taps;
    const int16_t *w = weights + (size_t)o * (size_t)taps;
    const int16_t *p = in + (size_t)axis->first[o] * (size_t)channels;
    int32x4_t sum = vdupq_n_s32(0);
    for (int k = 0; k < taps; k += 4, p += 4 * channels) {
        const int16x4_t w4 = vld1_s16(w + k);
        sum = vmlal_lane_s16(sum, vld1_s16(p), w4, 0);
        sum = vmlal_lane_s16(sum, vld1_s16(p + channels), w4, 1);
        sum = vmlal_lane_s16(sum, vld1_s16(p + 2 * channels), w4, 2);
        sum = vmlal_lane_s16(sum, vld1_s16(p + 3 * channels), w4, 3);
    }
    return sum;
}

static inline void horizontal_pass(const cgt_axis *axis, int channels, const int16_t *weights,
                                   const int16_t *in, int32_t *out, size_t plane) {
    for (int o = 0; o < axis->out; o += 4) {
        const int32x4x2_t ab =
            vtrnq_s32(dot(axis, o, channels, weights, in), dot(axis, o + 1, channels, weights, in));
        const int32x4x2_t cd = vtrnq_s32(dot(axis, o + 2, channels, weights, in),
                                         dot(axis, o + 3, channels, weights, in));
        int32_t *to = out + o;
        vst1q_s32(to, vcombine_s32(vget_low_s32(ab.val[0]), vget_low_s32(cd.val[0])));
        vst1q_s32(to + plane, vcombine_s32(vget_low_s32(ab.val[1]), vget_low_s32(cd.val[1])));
        vst1q_s32(to + 2 * plane, vcombine_s32(vget_high_s32(ab.val[0]), vget_high_s32(cd.val[0])));
        if (channels == 4)
            vst1q_s32(to + 3 * plane,
                      vcombine_s32(vget_high_s32(ab.val[1]), vget_high_s32(cd.val[1])));
    }
}

static void horizontal_pass_3(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                              int32_t *out, size_t plane) {
    horizontal_pass(axis, 3, weights, in, out, plane);
}

static void horizontal_pass_4(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                              int32_t *out, size_t plane) {
    horizontal_pass(axis, 4, weights, in, out, plane);
}

static void horizontal_pass_1(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                              int32_t *out, size_t plane) {
    (void)plane;
    const int taps = axis->taps;
    for (int o = 0; o < axis->out; o++) {
        const int16_t *w = weights + (size_t)o * (size_t)taps;
        const int16_t *p = in + axis->first[o];
        int32x4_t sum = vdupq_n_s32(0);
        for (int k = 0; k < taps; k += 4)
            sum = vmlal_s16(sum, vld1_s16(p + k), vld1_s16(w + k));
        out[o] = vaddvq_s32(sum);
    }
}

static void store_four(uint16x4_t v, float scale, float offset, float *out) {
    vst1q_f32(out, vaddq_f32(vmulq_n_f32(vcvtq_f32_u32(vmovl_u16(v)), scale), vdupq_n_f32(offset)));
}

static void store_floats(uint8x16_t bytes, float scale, float offset, float *out) {
    const uint16x8_t lo = vmovl_u8(vget_low_u8(bytes));
    const uint16x8_t hi = vmovl_u8(vget_high_u8(bytes));
    store_four(vget_low_u16(lo), scale, offset, out);
    store_four(vget_high_u16(lo), scale, offset, out + 4);
    store_four(vget_low_u16(hi), scale, offset, out + 8);
    store_four(vget_high_u16(hi), scale, offset, out + 12);
}

static void deinterleave_3(const uint8_t *in, size_t n, const float *scale, const float *offset,
                           float *const *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16x3_t pixels = vld3q_u8(in + 3 * i);
        for (size_t c = 0; c < 3; c++)
            store_floats(pixels.val[c], scale[c], offset[c], out[c] + i);
    }
    deinterleave_tail(in, i, n, 3, scale, offset, out);
}

static void deinterleave_4(const uint8_t *in, size_t n, const float *scale, const float *offset,
                           float *const *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16x4_t pixels = vld4q_u8(in + 4 * i);
        for (size_t c = 0; c < 4; c++)
            store_floats(pixels.val[c], scale[c], offset[c], out[c] + i);
    }
    deinterleave_tail(in, i, n, 4, scale, offset, out);
}

static void split(const uint8_t *in, size_t n, uint8_t *const planes[3]) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16x3_t pixels = vld3q_u8(in + 3 * i);
        for (size_t c = 0; c < 3; c++)
            vst1q_u8(planes[c] + i, pixels.val[c]);
    }
    split_tail(in, i, n, planes);
}

static void interleave_3(const uint8_t *const *planes, size_t n, uint8_t *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16x3_t pixels = {
            {vld1q_u8(planes[0] + i), vld1q_u8(planes[1] + i), vld1q_u8(planes[2] + i)}};
        vst3q_u8(out + 3 * i, pixels);
    }
    interleave_tail(planes, i, n, 3, out);
}

static void interleave_4(const uint8_t *const *planes, size_t n, uint8_t *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16x4_t pixels = {{vld1q_u8(planes[0] + i), vld1q_u8(planes[1] + i),
                                      vld1q_u8(planes[2] + i), vld1q_u8(planes[3] + i)}};
        vst4q_u8(out + 4 * i, pixels);
    }
    interleave_tail(planes, i, n, 4, out);
}

static void f32_to_f16(const float *in, size_t n, uint16_t *out) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(in + i))));
    for (; i < n; i++)
        out[i] = f32_to_f16_value(in[i]);
}

static void f16_to_f32(const uint16_t *in, size_t n, float *out) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(in + i))));
    for (; i < n; i++)
        out[i] = f16_to_f32_value(in[i]);
}

/* Return eight samples as 16-bit words: (byte - 128) << 8. */
static int16x8_t chroma(uint8x8_t bytes) {
    return vreinterpretq_s16_u16(veorq_u16(vshlq_n_u16(vmovl_u8(bytes), 8), vdupq_n_u16(0x8000)));
}

static void yuv_to_rgb(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step, size_t n,
                       const int16_t k[6], uint8_t *const rgb[3]) {
    const int16x8_t black = vdupq_n_s16((int16_t)(k[0] * 128));
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        uint8x8x2_t uv;
        if (step == 2) { /* v is u + 1 */
            uv = vld2_u8(u + i);
        } else {
            uv.val[0] = vld1_u8(u + i / 2);
            uv.val[1] = vld1_u8(v + i / 2);
        }
        const uint8x8x2_t us = vzip_u8(uv.val[0], uv.val[0]);
        const uint8x8x2_t vs = vzip_u8(uv.val[1], uv.val[1]);
        for (int h = 0; h < 2; h++) {
            const size_t column = i + (size_t)h * 8;
            const int16x8_t wide_y = vreinterpretq_s16_u16(vshll_n_u8(vld1_u8(y + column), 7));
            const int16x8_t wide_u = chroma(us.val[h]);
            const int16x8_t wide_v = chroma(vs.val[h]);
            const int16x8_t luma = vqrdmulhq_n_s16(vsubq_s16(wide_y, black), k[1]);
            const int16x8_t green =
                vaddq_s16(vqrdmulhq_n_s16(wide_u, k[3]), vqrdmulhq_n_s16(wide_v, k[4]));
            vst1_u8(rgb[0] + column,
                    vqrshrun_n_s16(vaddq_s16(luma, vqrdmulhq_n_s16(wide_v, k[2])), 5));
            vst1_u8(rgb[1] + column, vqrshrun_n_s16(vaddq_s16(luma, green), 5));
            vst1_u8(rgb[2] + column,
                    vqrshrun_n_s16(vaddq_s16(luma, vqrdmulhq_n_s16(wide_u, k[5])), 5));
        }
    }
    yuv_to_rgb_tail(y, u, v, step, i, n, k, rgb);
}

static uint8x8_t chroma_of_8(const int16x8_t rgb[3], const int16_t w[3], int16_t middle) {
    const int16x8_t sum =
        vaddq_s16(vaddq_s16(vqrdmulhq_n_s16(rgb[0], w[0]), vqrdmulhq_n_s16(rgb[1], w[1])),
                  vqrdmulhq_n_s16(rgb[2], w[2]));
    const int16x8_t biased = vaddq_s16(sum, vdupq_n_s16(middle));
    return vqmovn_u16(vshrq_n_u16(vreinterpretq_u16_s16(biased), 7));
}

static void weigh_rgb(const uint8_t *const rgb[3], size_t n, const int16_t weights[3],
                      int16_t offset, uint8_t *out) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int16x8_t sum = vdupq_n_s16(offset);
        for (int c = 0; c < 3; c++) {
            const int16x8_t wide = vreinterpretq_s16_u16(vshll_n_u8(vld1_u8(rgb[c] + i), 7));
            sum = vaddq_s16(sum, vqrdmulhq_n_s16(wide, weights[c]));
        }
        vst1_u8(out + i, vqmovn_u16(vshrq_n_u16(vreinterpretq_u16_s16(sum), 7)));
    }
    weigh_rgb_tail(rgb, i, n, weights, offset, out);
}

static void rgb_to_chroma(const uint8_t *const top[3], const uint8_t *const bottom[3], size_t n,
                          const cgt_yuv_weights *weights, int step, uint8_t *u, uint8_t *v) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        int16x8_t sums[3];
        for (int c = 0; c < 3; c++) {
            const uint16x8_t sum =
                vpadalq_u8(vpaddlq_u8(vld1q_u8(top[c] + i)), vld1q_u8(bottom[c] + i));
            sums[c] = vreinterpretq_s16_u16(vshlq_n_u16(sum, 5));
        }
        const uint8x8x2_t uv = {{chroma_of_8(sums, weights->u, weights->middle),
                                 chroma_of_8(sums, weights->v, weights->middle)}};
        if (step == 2) { /* v is u + 1 */
            vst2_u8(u + i, uv);
        } else {
            vst1_u8(u + i / 2, uv.val[0]);
            vst1_u8(v + i / 2, uv.val[1]);
        }
    }
    rgb_to_chroma_tail(top, bottom, i, n, weights, step, u, v);
}

static void box_sums(const int32_t *in, size_t n, size_t taps, int32_t *out) {
    box_sums_tail(in, 0, n, taps, first_box_sum(in, taps), out);
}

static void interpolate(const int16_t *in, const cgt_interpolation *table, int16_t *out) {
    if (!table->is_dense_8) {
        interpolate_any(in, table, out);
        return;
    }
    for (size_t i = 0; i < table->n; i += 8) {
        const int16_t *p = in + table->first[i];
        const uint8x16_t index = vld1q_u8(table->bytes + 2 * i);
        const int16x8_t a =
            vreinterpretq_s16_u8(vqtbl1q_u8(vreinterpretq_u8_s16(vld1q_s16(p)), index));
        const int16x8_t b =
            vreinterpretq_s16_u8(vqtbl1q_u8(vreinterpretq_u8_s16(vld1q_s16(p + 1)), index));
        const int16x8_t part = vqrdmulhq_s16(vsubq_s16(b, a), vld1q_s16(table->weight + i));
        vst1q_s16(out + i, vaddq_s16(a, part));
    }
}

static inline void guide_apply(const cgt_guide_rows *rows, const uint8_t *const in[3], size_t n,
                               int outputs, uint8_t *const out[3]) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int16x8_t wide[3];
        for (int k = 0; k < 3; k++)
            wide[k] = chroma(vld1_u8(in[k] + i));
        for (int o = 0; o < outputs; o++) {
            int16x8_t c[4];
            for (int k = 0; k < 4; k++) {
                const size_t at = (size_t)(4 * o + k) * rows->plane + i;
                const int16x8_t upper = vld1q_s16(rows->upper + at);
                const int16x8_t step = vsubq_s16(vld1q_s16(rows->lower + at), upper);
                c[k] = vaddq_s16(upper, vqrdmulhq_n_s16(step, rows->weight));
            }
            const int16x8_t sum =
                vqaddq_s16(vqaddq_s16(vqrdmulhq_s16(c[0], wide[0]), vqrdmulhq_s16(c[1], wide[1])),
                           vqaddq_s16(vqrdmulhq_s16(c[2], wide[2]), c[3]));
            vst1_u8(out[o] + i, vqmovun_s16(vshrq_n_s16(sum, CGT_OFFSET_BITS)));
        }
    }
    guide_apply_tail(rows, in, i, n, outputs, out);
}

static void guide_apply_1(const cgt_guide_rows *rows, const uint8_t *const in[3], size_t n,
                          uint8_t *const out[3]) {
    guide_apply(rows, in, n, 1, out);
}

static void guide_apply_2(const cgt_guide_rows *rows, const uint8_t *const in[3], size_t n,
                          uint8_t *const out[3]) {
    guide_apply(rows, in, n, 2, out);
}

static void guide_apply_3(const cgt_guide_rows *rows, const uint8_t *const in[3], size_t n,
                          uint8_t *const out[3]) {
    guide_apply(rows, in, n, 3, out);
}

const cgt_kernels cgt_kernels_neon = {
    .name = "neon",
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
#else
typedef int cgt_no_neon; /* ISO C forbids an empty translation unit */
#endif
