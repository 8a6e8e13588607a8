/* AVX-512 F, BW and VBMI: shuffles of 16-bit words and of bytes cross the whole
 * register, and masked loads stop where a row does. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi")
#endif

#include "rows_avx2.h"
#include "rows_plain.h"

static __m512i load(const void *p) {
    return _mm512_loadu_si512(p);
}

/* The first n of 64 bytes. */
static __mmask64 first_bytes(size_t n) {
    return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
}

static void columns(const uint8_t *const *rows, int taps, const int16_t *weights, int shift,
                    size_t n, int16_t *out) {
    /* 32-bit integer d of quarter q takes byte 8 (d / 4) + d % 4 + {0, 4, 32, 36}[q] of two
     * rows, as two 16-bit words whose upper bytes the mask clears; packing two quarters then
     * puts 32 columns in their order. */
    const __m512i base = _mm512_add_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27),
        _mm512_setr_epi32(0x400000, 0x410000, 0x420000, 0x430000, 0x480000, 0x490000, 0x4a0000,
                          0x4b0000, 0x500000, 0x510000, 0x520000, 0x530000, 0x580000, 0x590000,
                          0x5a0000, 0x5b0000));
    const __m512i q1 = _mm512_add_epi8(base, _mm512_set1_epi8(4));
    const __m512i q2 = _mm512_add_epi8(base, _mm512_set1_epi8(32));
    const __m512i q3 = _mm512_add_epi8(base, _mm512_set1_epi8(36));
    const __mmask64 low = 0x5555555555555555u;
    const __m512i half = _mm512_set1_epi32(1 << (shift - 1));
    const __m128i by = _mm_cvtsi32_si128(shift);
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
            s0 = _mm512_add_epi32(
                s0, _mm512_madd_epi16(_mm512_maskz_permutex2var_epi8(low, a, base, b), w));
            s1 = _mm512_add_epi32(
                s1, _mm512_madd_epi16(_mm512_maskz_permutex2var_epi8(low, a, q1, b), w));
            s2 = _mm512_add_epi32(
                s2, _mm512_madd_epi16(_mm512_maskz_permutex2var_epi8(low, a, q2, b), w));
            s3 = _mm512_add_epi32(
                s3, _mm512_madd_epi16(_mm512_maskz_permutex2var_epi8(low, a, q3, b), w));
        }
        _mm512_storeu_si512(out + i, _mm512_packs_epi32(_mm512_sra_epi32(s0, by),
                                                        _mm512_sra_epi32(s1, by)));
        _mm512_storeu_si512(out + i + 32, _mm512_packs_epi32(_mm512_sra_epi32(s2, by),
                                                             _mm512_sra_epi32(s3, by)));
    }
}

/* Eight weights, each pair four times. */
static __m512i weights_8(__m128i w) {
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
        _mm512_castsi128_si512(w));
}

/* Sums of one output's channels, in four lanes that are still to be added up.
 * `pairs` moves eight pixels to c0 c0 c1 c1 c2 c2 c3 c3, two a lane. */
static __m512i dot(const cgt_axis *axis, int o, int channels, __m512i pairs, const int16_t *weights, const int16_t *in) {
    const int taps = axis->taps;
    const int16_t *w = weights + (size_t)o * (size_t)taps;
    const int16_t *p = in + (size_t)axis->first[o] * (size_t)channels;
    __m512i sum = _mm512_setzero_si512();
    int k = 0;
    for (; k + 8 <= taps; k += 8, p += (ptrdiff_t)8 * channels)
        sum = _mm512_add_epi32(
            sum, _mm512_madd_epi16(_mm512_permutexvar_epi16(pairs, load(p)),
                                   weights_8(_mm_loadu_si128((const __m128i *)(w + k)))));
    if (k < taps) /* four more; the load clears the upper four weights */
        sum = _mm512_add_epi32(
            sum, _mm512_madd_epi16(_mm512_permutexvar_epi16(pairs, load(p)),
                                   weights_8(_mm_loadl_epi64((const __m128i *)(w + k)))));
    return sum;
}

static __m512i add_halves(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x44), _mm512_shuffle_i64x2(a, b, 0xee));
}

/* Outputs o, o + 4, o + 8, o + 12, one a lane. */
static __m512i dots(const cgt_axis *axis, int o, int channels, __m512i pairs, const int16_t *weights, const int16_t *in) {
    const __m512i a = add_halves(dot(axis, o, channels, pairs, weights, in),
                                 dot(axis, o + 4, channels, pairs, weights, in));
    const __m512i b = add_halves(dot(axis, o + 8, channels, pairs, weights, in),
                                 dot(axis, o + 12, channels, pairs, weights, in));
    return _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}

static inline void sums(const cgt_axis *axis, int channels, __m512i pairs, const int16_t *weights,
                        const int16_t *in,
                        int32_t *out, size_t plane) {
    for (int o = 0; o < axis->out; o += 16) {
        const __m512i a = dots(axis, o, channels, pairs, weights, in);
        const __m512i b = dots(axis, o + 1, channels, pairs, weights, in);
        const __m512i c = dots(axis, o + 2, channels, pairs, weights, in);
        const __m512i d = dots(axis, o + 3, channels, pairs, weights, in);
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

/* Four pixel pairs `step` words apart; words 6 and 7 of a lane are not used for 3 channels. */
static __m512i pair_words(short channels) {
    short words[32];
    for (int i = 0; i < 32; i++) {
        const int channel = i % 8 / 2;
        const int pixel = i / 8 * 2 + i % 2;
        words[i] = (short)(pixel * channels + (channel < channels ? channel : 0));
    }
    return load(words);
}

static void sums_3(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
 int32_t *out, size_t plane) {
    sums(axis, 3, pair_words(3), weights, in, out, plane);
}

static void sums_4(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
 int32_t *out, size_t plane) {
    sums(axis, 4, pair_words(4), weights, in, out, plane);
}

/* Sixteen pixels at a time: byte `channel` of each to the low end of an integer. */
static inline void split(const uint8_t *in, size_t n, int channels, int32_t *out, size_t plane) {
    const size_t c = (size_t)channels;
    const __m512i first = _mm512_mullo_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        _mm512_set1_epi32(channels));
    for (size_t i = 0; i < n; i += 16) {
        const size_t left = (n - i) * c;
        const __m512i pixels =
            _mm512_maskz_loadu_epi8(first_bytes(left < 16 * c ? left : 16 * c), in + i * c);
        for (int j = 0; j < channels; j++)
            _mm512_storeu_si512(out + (size_t)j * plane + i,
                                _mm512_maskz_permutexvar_epi8(
                                    0x1111111111111111u,
                                    _mm512_add_epi32(first, _mm512_set1_epi32(j)), pixels));
    }
}

static void split_3(const uint8_t *in, size_t n, int32_t *out, size_t plane) {
    split(in, n, 3, out, plane);
}

static void split_4(const uint8_t *in, size_t n, int32_t *out, size_t plane) {
    split(in, n, 4, out, plane);
}

/* 64 pixels at a time: third t of the output is bytes 64 t .. 64 t + 63 of abcabc.. */
static void merge_3(const uint8_t *const *planes, size_t n, uint8_t *out) {
    uint8_t from[3][64];
    __mmask64 third[3];
    for (int t = 0; t < 3; t++) {
        third[t] = 0;
        for (int i = 0; i < 64; i++) {
            const int at = 64 * t + i;
            /* a and b as one table of 128; c replaces what the mask names */
            from[t][i] = (uint8_t)(at / 3 + (at % 3 == 1 ? 64 : 0));
            third[t] |= (__mmask64)(at % 3 == 2) << i;
        }
    }
    for (size_t i = 0; i < n; i += 64) {
        const __mmask64 inside = first_bytes(n - i);
        const __m512i a = _mm512_maskz_loadu_epi8(inside, planes[0] + i);
        const __m512i b = _mm512_maskz_loadu_epi8(inside, planes[1] + i);
        const __m512i c = _mm512_maskz_loadu_epi8(inside, planes[2] + i);
        const size_t left = 3 * (n - i);
        for (size_t t = 0; t < 3; t++) {
            const __m512i index = load(from[t]);
            const __m512i ab = _mm512_permutex2var_epi8(a, index, b);
            const __m512i abc = _mm512_mask_permutexvar_epi8(ab, third[t], index, c);
            if (left > 64 * t)
                _mm512_mask_storeu_epi8(out + 3 * i + 64 * t, first_bytes(left - 64 * t), abc);
        }
    }
}

static void to_half(const float *in, size_t n, uint16_t *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(out + i),
                            _mm512_cvtps_ph(_mm512_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++)
        out[i] = half_of(in[i]);
}

static void from_half(const uint16_t *in, size_t n, float *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(in + i))));
    for (; i < n; i++)
        out[i] = float_of(in[i]);
}

const cgt_rows cgt_rows_avx512 = {
    .name = "avx512",
    .columns = columns,
    .sums = {NULL, cgt_avx2_sums_1, NULL, sums_3, sums_4},
    .split = {NULL, split_1, NULL, split_3, split_4},
    .merge = {NULL, merge_1, NULL, merge_3, cgt_avx2_merge_4},
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

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int cgt_no_avx512; /* ISO C forbids an empty file */
#endif
