/* Row functions for AVX-512 F, BW and VBMI. Shuffles of 16-bit words and bytes cross the
 * whole register, and masked loads stop at the end of a row. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi"))),      \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi")
#endif

#include "rows_avx2.h"
#include "rows_guide.h"

static __m512i load(const void *p) {
    return _mm512_loadu_si512(p);
}

/* Return a mask of the first n of 64 bytes. */
static __mmask64 first_bytes(size_t n) {
    return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
}

static void vertical_pass(const uint8_t *const *rows, int taps, const int16_t *weights, int shift,
                          size_t n, int16_t *out) {
    /* The lanes of `left` hold columns 0-7, 16-23, ..; those of `right` hold 8-15, 24-31, .. */
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const __m512i zero = _mm512_setzero_si512();
    const __m512i half = _mm512_set1_epi32(1 << (shift - 1));
    const __m128i shift_count = _mm_cvtsi32_si128(shift);
    for (size_t i = 0; i < n; i += 64) {
        const __mmask64 inside = first_bytes(n - i);
        __m512i s0 = half;
        __m512i s1 = half;
        __m512i s2 = half;
        __m512i s3 = half;
        for (int k = 0; k < taps; k += 2) {
            int32_t pair;
            memcpy(&pair, weights + k, sizeof pair);
            const __m512i w = _mm512_set1_epi32(pair);
            const __m512i a = _mm512_maskz_loadu_epi8(inside, rows[k] + i);
            const __m512i b = _mm512_maskz_loadu_epi8(inside, rows[k + 1] + i);
            const __m512i lo = _mm512_unpacklo_epi8(a, b);
            const __m512i hi = _mm512_unpackhi_epi8(a, b);
            s0 = _mm512_add_epi32(s0, _mm512_madd_epi16(_mm512_unpacklo_epi8(lo, zero), w));
            s1 = _mm512_add_epi32(s1, _mm512_madd_epi16(_mm512_unpackhi_epi8(lo, zero), w));
            s2 = _mm512_add_epi32(s2, _mm512_madd_epi16(_mm512_unpacklo_epi8(hi, zero), w));
            s3 = _mm512_add_epi32(s3, _mm512_madd_epi16(_mm512_unpackhi_epi8(hi, zero), w));
        }
        const __m512i left = _mm512_packs_epi32(_mm512_sra_epi32(s0, shift_count),
                                                _mm512_sra_epi32(s1, shift_count));
        const __m512i right = _mm512_packs_epi32(_mm512_sra_epi32(s2, shift_count),
                                                 _mm512_sra_epi32(s3, shift_count));
        _mm512_storeu_si512(out + i, _mm512_permutex2var_epi64(left, first, right));
        _mm512_storeu_si512(out + i + 32, _mm512_permutex2var_epi64(left, second, right));
    }
}

/* Return eight weights, each pair four times. */
static __m512i weights_8(__m128i w) {
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
        _mm512_castsi128_si512(w));
}

/* Return partial sums of the channels of one output in four lanes, which the caller
 * adds up. `pairs` moves eight pixels to c0 c0 c1 c1 c2 c2 c3 c3, two per lane. */
static inline __attribute__((always_inline)) __m512i
dot(const cgt_axis *axis, int taps, int o, int channels, __m512i pairs, const int16_t *weights,
    const int16_t *in) {
    const int16_t *w = weights + (size_t)o * (size_t)taps;
    const int16_t *p = in + (size_t)axis->first[o] * (size_t)channels;
    __m512i sum = _mm512_setzero_si512();
    int k = 0;
    for (; k + 8 <= taps; k += 8, p += (ptrdiff_t)8 * channels)
        sum = _mm512_add_epi32(
            sum, _mm512_madd_epi16(_mm512_permutexvar_epi16(pairs, load(p)),
                                   weights_8(_mm_loadu_si128((const __m128i *)(w + k)))));
    if (k < taps) /* four remain; the load clears the upper four weights */
        sum = _mm512_add_epi32(
            sum, _mm512_madd_epi16(_mm512_permutexvar_epi16(pairs, load(p)),
                                   weights_8(_mm_loadl_epi64((const __m128i *)(w + k)))));
    return sum;
}

static __m512i add_halves(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x44), _mm512_shuffle_i64x2(a, b, 0xee));
}

/* Return the sums of outputs o, o + 4, o + 8, o + 12, one per lane. */
static inline __attribute__((always_inline)) __m512i
dots(const cgt_axis *axis, int taps, int o, int channels, __m512i pairs, const int16_t *weights,
     const int16_t *in) {
    const __m512i a = add_halves(dot(axis, taps, o, channels, pairs, weights, in),
                                 dot(axis, taps, o + 4, channels, pairs, weights, in));
    const __m512i b = add_halves(dot(axis, taps, o + 8, channels, pairs, weights, in),
                                 dot(axis, taps, o + 12, channels, pairs, weights, in));
    return _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}

static inline __attribute__((always_inline)) void
horizontal_pass_taps(const cgt_axis *axis, int taps, int channels, __m512i pairs,
                     const int16_t *weights, const int16_t *in, int32_t *out, size_t plane) {
    for (int o = 0; o < axis->out; o += 16) {
        const __m512i a = dots(axis, taps, o, channels, pairs, weights, in);
        const __m512i b = dots(axis, taps, o + 1, channels, pairs, weights, in);
        const __m512i c = dots(axis, taps, o + 2, channels, pairs, weights, in);
        const __m512i d = dots(axis, taps, o + 3, channels, pairs, weights, in);
        const __m512i ab = _mm512_unpacklo_epi32(a, b);
        const __m512i cd = _mm512_unpacklo_epi32(c, d);
        const __m512i ab2 = _mm512_unpackhi_epi32(a, b);
        const __m512i cd2 = _mm512_unpackhi_epi32(c, d);
        int32_t *to = out + o;
        _mm512_storeu_si512(to, _mm512_unpacklo_epi64(ab, cd));
        _mm512_storeu_si512(to + plane, _mm512_unpackhi_epi64(ab, cd));
        _mm512_storeu_si512(to + 2 * plane, _mm512_unpacklo_epi64(ab2, cd2));
        if (channels == 4)
            _mm512_storeu_si512(to + 3 * plane, _mm512_unpackhi_epi64(ab2, cd2));
    }
}

/* Unrolled copies for the tap counts that are most common in video. */
static inline __attribute__((always_inline)) void
horizontal_pass(const cgt_axis *axis, int channels, __m512i pairs, const int16_t *weights,
                const int16_t *in, int32_t *out, size_t plane) {
    if (axis->taps == 4)
        horizontal_pass_taps(axis, 4, channels, pairs, weights, in, out, plane);
    else if (axis->taps == 8)
        horizontal_pass_taps(axis, 8, channels, pairs, weights, in, out, plane);
    else if (axis->taps == 12)
        horizontal_pass_taps(axis, 12, channels, pairs, weights, in, out, plane);
    else
        horizontal_pass_taps(axis, axis->taps, channels, pairs, weights, in, out, plane);
}

/* For 3 channels, words 6 and 7 of a lane are unused. */
#define PAIR_3(w) (w), (w) + 3, (w) + 1, (w) + 4, (w) + 2, (w) + 5, (w), (w)
#define PAIR_4(w) (w), (w) + 4, (w) + 1, (w) + 5, (w) + 2, (w) + 6, (w) + 3, (w) + 7
static const short PAIRS_3[32] = {PAIR_3(0), PAIR_3(6), PAIR_3(12), PAIR_3(18)};
static const short PAIRS_4[32] = {PAIR_4(0), PAIR_4(8), PAIR_4(16), PAIR_4(24)};

static void horizontal_pass_3(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                              int32_t *out, size_t plane) {
    horizontal_pass(axis, 3, load(PAIRS_3), weights, in, out, plane);
}

static void horizontal_pass_4(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                              int32_t *out, size_t plane) {
    horizontal_pass(axis, 4, load(PAIRS_4), weights, in, out, plane);
}

/* Sixteen pixels at a time: one channel of each moves to the low end of an integer. */
static inline void deinterleave(const uint8_t *in, size_t n, int channels, const float *scale,
                                const float *offset, float *const *out) {
    const size_t c = (size_t)channels;
    const __m512i first =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32(channels));
    for (size_t i = 0; i < n; i += 16) {
        const size_t left = (n - i) * c;
        const __m512i pixels =
            _mm512_maskz_loadu_epi8(first_bytes(left < 16 * c ? left : 16 * c), in + i * c);
        const __mmask16 inside = (__mmask16)first_bytes(n - i);
        for (int j = 0; j < channels; j++) {
            const __m512i bytes = _mm512_maskz_permutexvar_epi8(
                0x1111111111111111u, _mm512_add_epi32(first, _mm512_set1_epi32(j)), pixels);
            _mm512_mask_storeu_ps(
                out[j] + i, inside,
                _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(bytes), _mm512_set1_ps(scale[j])),
                              _mm512_set1_ps(offset[j])));
        }
    }
}

static void deinterleave_3(const uint8_t *in, size_t n, const float *scale, const float *offset,
                           float *const *out) {
    deinterleave(in, n, 3, scale, offset, out);
}

static void deinterleave_4(const uint8_t *in, size_t n, const float *scale, const float *offset,
                           float *const *out) {
    deinterleave(in, n, 4, scale, offset, out);
}

/* 64 pixels at a time: third t of the output is bytes 64 t .. 64 t + 63 of abcabc... A
 * permutation of a and b (128 bytes) fills in two of three bytes, a masked one of c the third. */
#define AT_1(i) ((i) / 3 + ((i) % 3 == 1 ? 64 : 0))
#define AT_4(i) AT_1(i), AT_1((i) + 1), AT_1((i) + 2), AT_1((i) + 3)
#define AT_16(i) AT_4(i), AT_4((i) + 4), AT_4((i) + 8), AT_4((i) + 12)
#define AT_64(i) {AT_16(i), AT_16((i) + 16), AT_16((i) + 32), AT_16((i) + 48)}
static const uint8_t FROM[3][64] = {AT_64(0), AT_64(64), AT_64(128)};

static void interleave_3(const uint8_t *const *planes, size_t n, uint8_t *out) {
    static const __mmask64 third[3] = {0x4924924924924924, 0x2492492492492492, 0x9249249249249249};
    for (size_t i = 0; i < n; i += 64) {
        const __mmask64 inside = first_bytes(n - i);
        const __m512i a = _mm512_maskz_loadu_epi8(inside, planes[0] + i);
        const __m512i b = _mm512_maskz_loadu_epi8(inside, planes[1] + i);
        const __m512i c = _mm512_maskz_loadu_epi8(inside, planes[2] + i);
        const size_t left = 3 * (n - i);
        for (size_t t = 0; t < 3; t++) {
            const __m512i index = load(FROM[t]);
            const __m512i ab = _mm512_permutex2var_epi8(a, index, b);
            const __m512i abc = _mm512_mask_permutexvar_epi8(ab, third[t], index, c);
            if (left > 64 * t)
                _mm512_mask_storeu_epi8(out + 3 * i + 64 * t, first_bytes(left - 64 * t), abc);
        }
    }
}

/* 64 pixels at a time: byte i of plane c is byte 3 i + c of 192. A permutation of the first 128
 * bytes fills in the lower planes' parts, a masked one of the rest the upper ones. */
#define SPLIT_4(i) (3 * (i)), (3 * (i) + 3), (3 * (i) + 6), (3 * (i) + 9)
#define SPLIT_16(i) SPLIT_4(i), SPLIT_4((i) + 4), SPLIT_4((i) + 8), SPLIT_4((i) + 12)
static const uint8_t SPLIT[64] = {SPLIT_16(0), SPLIT_16(16), SPLIT_16(32), SPLIT_16(48)};

static void split(const uint8_t *in, size_t n, uint8_t *const planes[3]) {
    const __m512i first = load(SPLIT);
    for (size_t i = 0; i < n; i += 64) {
        const size_t left = 3 * (n - i);
        const uint8_t *p = in + 3 * i;
        const __m512i a = _mm512_maskz_loadu_epi8(first_bytes(left), p);
        const __m512i b = _mm512_maskz_loadu_epi8(left > 64 ? first_bytes(left - 64) : 0, p + 64);
        const __m512i c = _mm512_maskz_loadu_epi8(left > 128 ? first_bytes(left - 128) : 0, p + 128);
        const __mmask64 inside = first_bytes(n - i);
        for (int k = 0; k < 3; k++) {
            const __m512i index = _mm512_add_epi8(first, _mm512_set1_epi8((char)k));
            /* The bytes from 128 on have the top bit of their index set. */
            const __m512i plane = _mm512_mask_permutexvar_epi8(
                _mm512_permutex2var_epi8(a, index, b), _mm512_movepi8_mask(index), index, c);
            _mm512_mask_storeu_epi8(planes[k] + i, inside, plane);
        }
    }
}

/* Map [-1, 1] to [0, 255], clamped. max and min return their second operand if the
 * first is NaN, which so becomes 0. */
static __m512 to_u8_range_16(const float *in) {
    const __m512 v = _mm512_mul_ps(_mm512_add_ps(_mm512_loadu_ps(in), _mm512_set1_ps(1.0f)),
                                   _mm512_set1_ps(127.5f));
    return _mm512_min_ps(_mm512_max_ps(v, _mm512_setzero_ps()), _mm512_set1_ps(255.0f));
}

static void float_to_u8_512(const float *in, size_t n, uint8_t *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm_storeu_si128((__m128i *)(out + i),
                         _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(to_u8_range_16(in + i))));
    float_to_u8(in + i, n - i, out + i);
}

static void float_to_u8_truncated_512(const float *in, size_t n, uint8_t *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm_storeu_si128((__m128i *)(out + i),
                         _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(to_u8_range_16(in + i))));
    float_to_u8_truncated(in + i, n - i, out + i);
}

static void f32_to_f16(const float *in, size_t n, uint16_t *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(out + i),
                            _mm512_cvtps_ph(_mm512_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++)
        out[i] = f32_to_f16_value(in[i]);
}

static void f16_to_f32(const uint16_t *in, size_t n, float *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(in + i))));
    for (; i < n; i++)
        out[i] = f16_to_f32_value(in[i]);
}

static void weigh_rgb(const uint8_t *const rgb[3], size_t n, const int16_t weights[3],
                      int16_t offset, uint8_t *out) {
    const __m512i zero = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 64) {
        const __mmask64 inside = first_bytes(n - i);
        __m512i lower = _mm512_set1_epi16(offset);
        __m512i upper = lower;
        for (int c = 0; c < 3; c++) {
            const __m512i bytes = _mm512_maskz_loadu_epi8(inside, rgb[c] + i);
            const __m512i weight = _mm512_set1_epi16(weights[c]);
            const __m512i wide_lower = _mm512_srli_epi16(_mm512_unpacklo_epi8(zero, bytes), 1);
            const __m512i wide_upper = _mm512_srli_epi16(_mm512_unpackhi_epi8(zero, bytes), 1);
            lower = _mm512_add_epi16(lower, _mm512_mulhrs_epi16(wide_lower, weight));
            upper = _mm512_add_epi16(upper, _mm512_mulhrs_epi16(wide_upper, weight));
        }
        _mm512_mask_storeu_epi8(
            out + i, inside,
            _mm512_packus_epi16(_mm512_srli_epi16(lower, 7), _mm512_srli_epi16(upper, 7)));
    }
}

/* Running sums: of each sixteen differences in four steps, and of all before them. */
static void box_sums(const int32_t *in, size_t n, size_t taps, int32_t *out) {
    const __m512i zero = _mm512_setzero_si512();
    const __m512i last = _mm512_set1_epi32(15);
    __m512i before = _mm512_set1_epi32(first_box_sum(in, taps));
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 inside = (__mmask16)first_bytes(n - i);
        __m512i sums = _mm512_sub_epi32(_mm512_maskz_loadu_epi32(inside, in + i + taps),
                                        _mm512_maskz_loadu_epi32(inside, in + i));
        sums = _mm512_add_epi32(sums, _mm512_alignr_epi32(sums, zero, 15));
        sums = _mm512_add_epi32(sums, _mm512_alignr_epi32(sums, zero, 14));
        sums = _mm512_add_epi32(sums, _mm512_alignr_epi32(sums, zero, 12));
        sums = _mm512_add_epi32(sums, _mm512_alignr_epi32(sums, zero, 8));
        _mm512_mask_storeu_epi32(out + i, inside, _mm512_add_epi32(sums, before));
        before = _mm512_add_epi32(before, _mm512_permutexvar_epi32(last, sums));
    }
}

static void interpolate(const int16_t *in, const cgt_interpolation *table, int16_t *out) {
    if (!table->is_dense_32) {
        interpolate_any(in, table, out);
        return;
    }
    for (size_t i = 0; i < table->n; i += 32) {
        const int16_t *p = in + table->first[i];
        const __m512i index = load(table->words + i);
        const __m512i a = _mm512_permutexvar_epi16(index, load(p));
        const __m512i b = _mm512_permutexvar_epi16(index, load(p + 1));
        const __m512i part =
            _mm512_mulhrs_epi16(_mm512_sub_epi16(b, a), load(table->weight + i));
        _mm512_storeu_si512(out + i, _mm512_add_epi16(a, part));
    }
}

static inline __attribute__((always_inline)) void
guide_apply(const cgt_guide_rows *rows, const uint8_t *const in[3], size_t n, int outputs,
            uint8_t *const out[3]) {
    const __m512i weight = _mm512_set1_epi16(rows->weight);
    const __m512i half_range = _mm512_set1_epi16((short)0x8000);
    for (size_t i = 0; i < n; i += 32) {
        const __mmask32 inside = (__mmask32)first_bytes(n - i);
        __m512i wide[3];
        for (int k = 0; k < 3; k++) /* (byte - 128) << 8 */
            wide[k] = _mm512_xor_si512(
                _mm512_slli_epi16(
                    _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(inside, in[k] + i)), 8),
                half_range);
        for (int o = 0; o < outputs; o++) {
            __m512i c[4];
            for (int k = 0; k < 4; k++) {
                const size_t at = (size_t)(4 * o + k) * rows->plane + i;
                const __m512i upper = load(rows->upper + at);
                const __m512i step = _mm512_sub_epi16(load(rows->lower + at), upper);
                c[k] = _mm512_add_epi16(upper, _mm512_mulhrs_epi16(step, weight));
            }
            const __m512i sum = _mm512_adds_epi16(
                _mm512_adds_epi16(_mm512_mulhrs_epi16(c[0], wide[0]),
                                  _mm512_mulhrs_epi16(c[1], wide[1])),
                _mm512_adds_epi16(_mm512_mulhrs_epi16(c[2], wide[2]), c[3]));
            const __m512i level = _mm512_max_epi16(_mm512_srai_epi16(sum, CGT_OFFSET_BITS),
                                                   _mm512_setzero_si512());
            _mm256_mask_storeu_epi8(out[o] + i, inside, _mm512_cvtusepi16_epi8(level));
        }
    }
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

const cgt_kernels cgt_kernels_avx512 = {
    .name = "avx512",
    .vertical_pass = vertical_pass,
    .horizontal_pass = {NULL, cgt_avx2_horizontal_pass_1, NULL, horizontal_pass_3,
                        horizontal_pass_4},
    .deinterleave = {NULL, deinterleave_1, NULL, deinterleave_3, deinterleave_4},
    .split = split,
    .interleave = {NULL, interleave_1, NULL, interleave_3, cgt_avx2_interleave_4},
    .scale = scale_sums,
    .sums_to_levels = sums_to_levels,
    .u8_to_i16 = u8_to_i16,
    .vertical_pass_u8 = vertical_pass_u8,
    .sums_to_u8 = sums_to_u8,
    .float_to_u8 = float_to_u8_512,
    .float_to_u8_truncated = float_to_u8_truncated_512,
    .f32_to_f16 = f32_to_f16,
    .f16_to_f32 = f16_to_f32,
    .yuv_to_rgb = cgt_avx2_yuv_to_rgb,
    .weigh_rgb = weigh_rgb,
    .rgb_to_chroma = cgt_avx2_rgb_to_chroma,
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

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int cgt_no_avx512; /* ISO C forbids an empty translation unit */
#endif
