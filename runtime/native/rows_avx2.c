/* Row functions for AVX2 and F16C. A register has two lanes of 16 bytes; shuffles do
 * not cross lanes. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

/* The target is set here, so that the build system compiles all files with the same flags. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,f16c")
#endif

#include "rows_avx2.h"
#include "rows_guide.h"

static __m256i load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

static __m128i load_128(const void *p) {
    return _mm_loadu_si128((const __m128i *)p);
}

static void vertical_pass_32(const uint8_t *const *rows, int taps, const int16_t *weights,
                             int shift, size_t column, int16_t *out) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i s0 = _mm256_set1_epi32(1 << (shift - 1));
    __m256i s1 = s0;
    __m256i s2 = s0;
    __m256i s3 = s0;
    for (int k = 0; k < taps; k += 2) {
        int32_t pair;
        memcpy(&pair, weights + k, sizeof pair);
        const __m256i w = _mm256_set1_epi32(pair);
        const __m256i a = load(rows[k] + column);
        const __m256i b = load(rows[k + 1] + column);
        const __m256i lo = _mm256_unpacklo_epi8(a, b);
        const __m256i hi = _mm256_unpackhi_epi8(a, b);
        s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(_mm256_unpacklo_epi8(lo, zero), w));
        s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(_mm256_unpackhi_epi8(lo, zero), w));
        s2 = _mm256_add_epi32(s2, _mm256_madd_epi16(_mm256_unpacklo_epi8(hi, zero), w));
        s3 = _mm256_add_epi32(s3, _mm256_madd_epi16(_mm256_unpackhi_epi8(hi, zero), w));
    }
    const __m128i shift_count = _mm_cvtsi32_si128(shift);
    const __m256i left =
        _mm256_packs_epi32(_mm256_sra_epi32(s0, shift_count), _mm256_sra_epi32(s1, shift_count));
    const __m256i right =
        _mm256_packs_epi32(_mm256_sra_epi32(s2, shift_count), _mm256_sra_epi32(s3, shift_count));
    _mm256_storeu_si256((__m256i *)(out + column), _mm256_permute2x128_si256(left, right, 0x20));
    _mm256_storeu_si256((__m256i *)(out + column + 16),
                        _mm256_permute2x128_si256(left, right, 0x31));
}

static void vertical_pass(const uint8_t *const *rows, int taps, const int16_t *weights, int shift,
                          size_t n, int16_t *out) {
    if (n < 32) {
        vertical_pass_tail(rows, taps, weights, shift, 0, n, out);
        return;
    }
    for (size_t i = 0; i + 32 <= n; i += 32)
        vertical_pass_32(rows, taps, weights, shift, i, out);
    if (n % 32)
        vertical_pass_32(rows, taps, weights, shift, n - 32, out);
}

/* Return weights w0..w3 as w0 w1 (four times), w2 w3 (four times). */
static __m256i weights_4(const int16_t *w) {
    return _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)w)),
                                       _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
}

/* Return 32-bit partial sums of the channels of one output; the caller adds the upper
 * lane to the lower one. `pairs` moves two pixels of a lane to c0 c0 c1 c1 c2 c2 c3 c3. */
static inline __attribute__((always_inline)) __m256i
dot(const cgt_axis *axis, int taps, int o, int channels, __m256i pairs, const int16_t *weights,
    const int16_t *in) {
    const int16_t *w = weights + (size_t)o * (size_t)taps;
    const int16_t *p = in + (size_t)axis->first[o] * (size_t)channels;
    __m256i sum = _mm256_setzero_si256();
    for (int k = 0; k < taps; k += 4, p += (ptrdiff_t)4 * channels) {
        const __m256i pixels = _mm256_inserti128_si256(_mm256_castsi128_si256(load_128(p)),
                                                       load_128(p + (ptrdiff_t)2 * channels), 1);
        sum = _mm256_add_epi32(
            sum, _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, pairs), weights_4(w + k)));
    }
    return sum;
}

/* Return the sums of outputs o and o + 4, one per lane. */
static inline __attribute__((always_inline)) __m256i
dots(const cgt_axis *axis, int taps, int o, int channels, __m256i pairs, const int16_t *weights,
     const int16_t *in) {
    const __m256i a = dot(axis, taps, o, channels, pairs, weights, in);
    const __m256i b = dot(axis, taps, o + 4, channels, pairs, weights, in);
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

static inline __attribute__((always_inline)) void
horizontal_pass_taps(const cgt_axis *axis, int taps, int channels, __m256i pairs,
                     const int16_t *weights, const int16_t *in, int32_t *out, size_t plane) {
    for (int o = 0; o < axis->out; o += 8) {
        const __m256i a = dots(axis, taps, o, channels, pairs, weights, in);
        const __m256i b = dots(axis, taps, o + 1, channels, pairs, weights, in);
        const __m256i c = dots(axis, taps, o + 2, channels, pairs, weights, in);
        const __m256i d = dots(axis, taps, o + 3, channels, pairs, weights, in);
        const __m256i ab = _mm256_unpacklo_epi32(a, b);
        const __m256i cd = _mm256_unpacklo_epi32(c, d);
        const __m256i ab2 = _mm256_unpackhi_epi32(a, b);
        const __m256i cd2 = _mm256_unpackhi_epi32(c, d);
        int32_t *to = out + o;
        _mm256_storeu_si256((__m256i *)to, _mm256_unpacklo_epi64(ab, cd));
        _mm256_storeu_si256((__m256i *)(to + plane), _mm256_unpackhi_epi64(ab, cd));
        _mm256_storeu_si256((__m256i *)(to + 2 * plane), _mm256_unpacklo_epi64(ab2, cd2));
        if (channels == 4)
            _mm256_storeu_si256((__m256i *)(to + 3 * plane), _mm256_unpackhi_epi64(ab2, cd2));
    }
}

/* Unrolled copies for the tap counts that are most common in video. */
static inline __attribute__((always_inline)) void
horizontal_pass(const cgt_axis *axis, int channels, __m256i pairs, const int16_t *weights,
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

static void horizontal_pass_3(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                              int32_t *out, size_t plane) {
    const __m256i pairs = _mm256_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1, 0,
                                           1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1);
    horizontal_pass(axis, 3, pairs, weights, in, out, plane);
}

static void horizontal_pass_4(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                              int32_t *out, size_t plane) {
    const __m256i pairs = _mm256_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15, 0,
                                           1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    horizontal_pass(axis, 4, pairs, weights, in, out, plane);
}

static __m128i dot_1(const cgt_axis *axis, int o, const int16_t *weights, const int16_t *in) {
    const int taps = axis->taps;
    const int16_t *w = weights + (size_t)o * (size_t)taps;
    const int16_t *p = in + axis->first[o];
    __m128i sum = _mm_setzero_si128();
    for (int k = 0; k < taps; k += 4)
        sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_loadl_epi64((const __m128i *)(p + k)),
                                                _mm_loadl_epi64((const __m128i *)(w + k))));
    return sum;
}

void cgt_avx2_horizontal_pass_1(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                                int32_t *out, size_t plane) {
    (void)plane;
    for (int o = 0; o < axis->out; o += 4) {
        /* Two partial sums each; the upper half of the register is 0. */
        const __m128i a =
            _mm_unpacklo_epi64(dot_1(axis, o, weights, in), dot_1(axis, o + 1, weights, in));
        const __m128i b =
            _mm_unpacklo_epi64(dot_1(axis, o + 2, weights, in), dot_1(axis, o + 3, weights, in));
        _mm_storeu_si128((__m128i *)(out + o), _mm_hadd_epi32(a, b));
    }
}

static void store_floats(__m256i v, float scale, float offset, float *out) {
    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(v), _mm256_set1_ps(scale)),
                                        _mm256_set1_ps(offset)));
}

/* Eight pixels at a time, four per lane. `channel` moves the bytes of one channel to
 * the low ends of four 32-bit integers. */
static void deinterleave_3(const uint8_t *in, size_t n, const float *scale, const float *offset,
                           float *const *out) {
    /* The upper lane is loaded 4 bytes early, so that exactly 24 bytes are read. */
    const __m256i base =
        _mm256_setr_epi8(0, -1, -1, -1, 3, -1, -1, -1, 6, -1, -1, -1, 9, -1, -1, -1, 4, -1, -1, -1,
                         7, -1, -1, -1, 10, -1, -1, -1, 13, -1, -1, -1);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint8_t *p = in + 3 * i;
        const __m256i pixels =
            _mm256_inserti128_si256(_mm256_castsi128_si256(load_128(p)), load_128(p + 8), 1);
        for (int c = 0; c < 3; c++) {
            const __m256i channel = _mm256_add_epi8(base, _mm256_set1_epi32(c));
            store_floats(_mm256_shuffle_epi8(pixels, channel), scale[c], offset[c], out[c] + i);
        }
    }
    deinterleave_tail(in, i, n, 3, scale, offset, out);
}

static void deinterleave_4(const uint8_t *in, size_t n, const float *scale, const float *offset,
                           float *const *out) {
    const __m256i low = _mm256_set1_epi32(255);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i pixels = load(in + 4 * i);
        for (int c = 0; c < 4; c++)
            store_floats(_mm256_and_si256(_mm256_srl_epi32(pixels, _mm_cvtsi32_si128(8 * c)), low),
                         scale[c], offset[c], out[c] + i);
    }
    deinterleave_tail(in, i, n, 4, scale, offset, out);
}

/* 32 pixels at a time, 16 per lane. Each plane takes bytes from all three thirds of a lane. */
static void split(const uint8_t *in, size_t n, uint8_t *const planes[3]) {
    static const int8_t FROM[3][3][16] = {
        {{0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13}},
        {{1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14}},
        {{2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15}},
    };
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const uint8_t *p = in + 3 * i;
        __m256i thirds[3];
        for (int t = 0; t < 3; t++, p += 16)
            thirds[t] =
                _mm256_inserti128_si256(_mm256_castsi128_si256(load_128(p)), load_128(p + 48), 1);
        for (int c = 0; c < 3; c++) {
            __m256i plane = _mm256_setzero_si256();
            for (int t = 0; t < 3; t++)
                plane = _mm256_or_si256(
                    plane, _mm256_shuffle_epi8(
                               thirds[t], _mm256_broadcastsi128_si256(load_128(FROM[c][t]))));
            _mm256_storeu_si256((__m256i *)(planes[c] + i), plane);
        }
    }
    split_tail(in, i, n, planes);
}

/* Sixteen pixels at a time: each third t of the output takes bytes from all planes. */
static void interleave_3(const uint8_t *const *planes, size_t n, uint8_t *out) {
    static const int8_t FROM[3][3][16] = {
        {{0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5},
         {-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1},
         {-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1}},
        {{-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1},
         {5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10},
         {-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1}},
        {{-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1},
         {-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1},
         {10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15}},
    };
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m128i a = load_128(planes[0] + i);
        const __m128i b = load_128(planes[1] + i);
        const __m128i c = load_128(planes[2] + i);
        for (int t = 0; t < 3; t++)
            _mm_storeu_si128((__m128i *)(out + 3 * i + 16 * (size_t)t),
                             _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(a, load_128(FROM[t][0])),
                                                       _mm_shuffle_epi8(b, load_128(FROM[t][1]))),
                                          _mm_shuffle_epi8(c, load_128(FROM[t][2]))));
    }
    interleave_tail(planes, i, n, 3, out);
}

void cgt_avx2_interleave_4(const uint8_t *const *planes, size_t n, uint8_t *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m128i a = load_128(planes[0] + i);
        const __m128i b = load_128(planes[1] + i);
        const __m128i c = load_128(planes[2] + i);
        const __m128i d = load_128(planes[3] + i);
        const __m128i ab[2] = {_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)};
        const __m128i cd[2] = {_mm_unpacklo_epi8(c, d), _mm_unpackhi_epi8(c, d)};
        __m128i *to = (__m128i *)(out + 4 * i);
        for (int t = 0; t < 2; t++) {
            _mm_storeu_si128(to + 2 * t, _mm_unpacklo_epi16(ab[t], cd[t]));
            _mm_storeu_si128(to + 2 * t + 1, _mm_unpackhi_epi16(ab[t], cd[t]));
        }
    }
    interleave_tail(planes, i, n, 4, out);
}

/* Map [-1, 1] to [0, 255], clamped. max and min return their second operand if the
 * first is NaN, which so becomes 0. */
static __m256 to_u8_range_8(const float *in) {
    const __m256 v = _mm256_mul_ps(_mm256_add_ps(_mm256_loadu_ps(in), _mm256_set1_ps(1.0f)),
                                   _mm256_set1_ps(127.5f));
    return _mm256_min_ps(_mm256_max_ps(v, _mm256_setzero_ps()), _mm256_set1_ps(255.0f));
}

/* Store 32 integers of 0..255 as bytes. Packing works by lane and returns groups of four,
 * which the permutation puts in order. */
static void store_32(__m256i a, __m256i b, __m256i c, __m256i d, uint8_t *out) {
    const __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    _mm256_storeu_si256((__m256i *)out, _mm256_permutevar8x32_epi32(
                                            bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}

static void float_to_u8_256(const float *in, size_t n, uint8_t *out) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        store_32(_mm256_cvtps_epi32(to_u8_range_8(in + i)),
                 _mm256_cvtps_epi32(to_u8_range_8(in + i + 8)),
                 _mm256_cvtps_epi32(to_u8_range_8(in + i + 16)),
                 _mm256_cvtps_epi32(to_u8_range_8(in + i + 24)), out + i);
    float_to_u8(in + i, n - i, out + i);
}

static void float_to_u8_truncated_256(const float *in, size_t n, uint8_t *out) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        store_32(_mm256_cvttps_epi32(to_u8_range_8(in + i)),
                 _mm256_cvttps_epi32(to_u8_range_8(in + i + 8)),
                 _mm256_cvttps_epi32(to_u8_range_8(in + i + 16)),
                 _mm256_cvttps_epi32(to_u8_range_8(in + i + 24)), out + i);
    float_to_u8_truncated(in + i, n - i, out + i);
}

static void f32_to_f16(const float *in, size_t n, uint16_t *out) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(out + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++)
        out[i] = f32_to_f16_value(in[i]);
}

static void f16_to_f32(const uint16_t *in, size_t n, float *out) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(load_128(in + i)));
    for (; i < n; i++)
        out[i] = f16_to_f32_value(in[i]);
}

/* Return the chroma of sixteen pixels as 16-bit words: (byte - 128) << 8. */
static __m256i chroma(__m256i bytes, __m256i order) {
    return _mm256_xor_si256(_mm256_shuffle_epi8(bytes, order), _mm256_set1_epi16((short)0x8000));
}

/* Store 32 pixels as bytes, from units of 1/32 level: the lower and upper eight of each lane. */
static void store_levels(__m256i lower, __m256i upper, uint8_t *out) {
    const __m256i half = _mm256_set1_epi16(16);
    _mm256_storeu_si256((__m256i *)out,
                        _mm256_packus_epi16(_mm256_srai_epi16(_mm256_add_epi16(lower, half), 5),
                                            _mm256_srai_epi16(_mm256_add_epi16(upper, half), 5)));
}

void cgt_avx2_yuv_to_rgb(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step, size_t n,
                         const int16_t k[6], uint8_t *const rgb[3]) {
    /* Positions of the chroma of each pixel, every other byte for NV12. Each occurs twice;
     * -1 yields 0. */
    const char s = (char)step;
    const __m256i lower = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-1, 0, -1, 0, -1, s, -1, s, -1, (char)(2 * s), -1, (char)(2 * s), -1,
                      (char)(3 * s), -1, (char)(3 * s)));
    const __m256i four = _mm256_set1_epi16((short)(4 * step * 256));
    const __m256i upper = _mm256_add_epi16(lower, four);
    const __m256i zero = _mm256_setzero_si256();
    const __m256i black = _mm256_set1_epi16((short)(k[0] * 128));
    __m256i c[6];
    for (int i = 1; i < 6; i++)
        c[i] = _mm256_set1_epi16(k[i]);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i us;
        __m256i vs;
        if (step == 2) { /* v is u + 1 */
            us = load(u + i);
            vs = _mm256_srli_epi16(us, 8);
        } else {
            us = _mm256_permute4x64_epi64(_mm256_castsi128_si256(load_128(u + i / 2)), 0x50);
            vs = _mm256_permute4x64_epi64(_mm256_castsi128_si256(load_128(v + i / 2)), 0x50);
        }
        const __m256i ys = load(y + i);
        __m256i r[2];
        __m256i g[2];
        __m256i b[2];
        for (int h = 0; h < 2; h++) {
            const __m256i wide_y =
                h ? _mm256_unpackhi_epi8(ys, zero) : _mm256_unpacklo_epi8(ys, zero);
            const __m256i wide_u = chroma(us, h ? upper : lower);
            const __m256i wide_v = chroma(vs, h ? upper : lower);
            const __m256i luma =
                _mm256_mulhrs_epi16(_mm256_sub_epi16(_mm256_slli_epi16(wide_y, 7), black), c[1]);
            r[h] = _mm256_add_epi16(luma, _mm256_mulhrs_epi16(wide_v, c[2]));
            g[h] = _mm256_add_epi16(luma, _mm256_add_epi16(_mm256_mulhrs_epi16(wide_u, c[3]),
                                                           _mm256_mulhrs_epi16(wide_v, c[4])));
            b[h] = _mm256_add_epi16(luma, _mm256_mulhrs_epi16(wide_u, c[5]));
        }
        store_levels(r[0], r[1], rgb[0] + i);
        store_levels(g[0], g[1], rgb[1] + i);
        store_levels(b[0], b[1], rgb[2] + i);
    }
    yuv_to_rgb_tail(y, u, v, step, i, n, k, rgb);
}

/* Return sixteen weighted sums. */
static __m256i weigh_16(const __m256i rgb[3], const int16_t w[3]) {
    const __m256i rg = _mm256_add_epi16(_mm256_mulhrs_epi16(rgb[0], _mm256_set1_epi16(w[0])),
                                        _mm256_mulhrs_epi16(rgb[1], _mm256_set1_epi16(w[1])));
    return _mm256_add_epi16(rg, _mm256_mulhrs_epi16(rgb[2], _mm256_set1_epi16(w[2])));
}

static void weigh_rgb(const uint8_t *const rgb[3], size_t n, const int16_t weights[3],
                      int16_t offset, uint8_t *out) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i bias = _mm256_set1_epi16(offset);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i halves[2];
        for (int h = 0; h < 2; h++) {
            __m256i wide[3];
            for (int c = 0; c < 3; c++) {
                const __m256i bytes = load(rgb[c] + i);
                wide[c] = _mm256_srli_epi16(h ? _mm256_unpackhi_epi8(zero, bytes)
                                              : _mm256_unpacklo_epi8(zero, bytes),
                                            1);
            }
            halves[h] = _mm256_srli_epi16(_mm256_add_epi16(weigh_16(wide, weights), bias), 7);
        }
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_packus_epi16(halves[0], halves[1]));
    }
    weigh_rgb_tail(rgb, i, n, weights, offset, out);
}

/* 32 pixels at a time: sixteen chroma samples. */
void cgt_avx2_rgb_to_chroma(const uint8_t *const top[3], const uint8_t *const bottom[3], size_t n,
                            const cgt_yuv_weights *weights, int step, uint8_t *u, uint8_t *v) {
    const __m256i ones = _mm256_set1_epi8(1);
    const __m256i middle = _mm256_set1_epi16(weights->middle);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i sums[3];
        for (int c = 0; c < 3; c++)
            sums[c] = _mm256_slli_epi16(
                _mm256_add_epi16(_mm256_maddubs_epi16(load(top[c] + i), ones),
                                 _mm256_maddubs_epi16(load(bottom[c] + i), ones)),
                5);
        const __m256i us =
            _mm256_srli_epi16(_mm256_add_epi16(weigh_16(sums, weights->u), middle), 7);
        const __m256i vs =
            _mm256_srli_epi16(_mm256_add_epi16(weigh_16(sums, weights->v), middle), 7);
        /* The lower lane has u 0-7, v 0-7, the upper one u 8-15, v 8-15. */
        const __m256i bytes = _mm256_packus_epi16(us, vs);
        if (step == 2) { /* v is u + 1 */
            _mm256_storeu_si256((__m256i *)(u + i),
                                _mm256_unpacklo_epi8(bytes, _mm256_srli_si256(bytes, 8)));
        } else {
            const __m256i ordered = _mm256_permute4x64_epi64(bytes, 0xd8);
            _mm_storeu_si128((__m128i *)(u + i / 2), _mm256_castsi256_si128(ordered));
            _mm_storeu_si128((__m128i *)(v + i / 2), _mm256_extracti128_si256(ordered, 1));
        }
    }
    rgb_to_chroma_tail(top, bottom, i, n, weights, step, u, v);
}

/* Running sums: of each eight differences in three steps, and of all before them. */
static void box_sums(const int32_t *in, size_t n, size_t taps, int32_t *out) {
    const __m256i last = _mm256_set1_epi32(7);
    int32_t sum = first_box_sum(in, taps);
    __m256i before = _mm256_set1_epi32(sum);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i sums = _mm256_sub_epi32(load(in + i + taps), load(in + i));
        sums = _mm256_add_epi32(sums, _mm256_slli_si256(sums, 4));
        sums = _mm256_add_epi32(sums, _mm256_slli_si256(sums, 8));
        /* The sum of the lower lane is added to the upper one. */
        const __m256i lower = _mm256_permute2x128_si256(sums, sums, 0x08);
        sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(lower, 0xff));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_add_epi32(sums, before));
        before = _mm256_add_epi32(before, _mm256_permutevar8x32_epi32(sums, last));
    }
    sum = _mm256_cvtsi256_si32(before);
    box_sums_tail(in, i, n, taps, sum, out);
}

/* Return eight words from each of two addresses. */
static __m256i load_pair(const int16_t *lower, const int16_t *upper) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load_128(lower)), load_128(upper), 1);
}

static void interpolate(const int16_t *in, const cgt_interpolation *table, int16_t *out) {
    if (!table->is_dense_8) {
        interpolate_any(in, table, out);
        return;
    }
    for (size_t i = 0; i < table->n; i += 16) {
        const int16_t *p = in + table->first[i];
        const int16_t *q = in + table->first[i + 8];
        const __m256i index = load(table->bytes + 2 * i);
        const __m256i a = _mm256_shuffle_epi8(load_pair(p, q), index);
        const __m256i b = _mm256_shuffle_epi8(load_pair(p + 1, q + 1), index);
        const __m256i part =
            _mm256_mulhrs_epi16(_mm256_sub_epi16(b, a), load(table->weight + i));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_add_epi16(a, part));
    }
}

static inline __attribute__((always_inline)) void
guide_apply(const cgt_guide_rows *rows, const uint8_t *const in[3], size_t n, int outputs,
            uint8_t *const out[3]) {
    const __m256i weight = _mm256_set1_epi16(rows->weight);
    const __m256i half_range = _mm256_set1_epi16((short)0x8000);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i wide[3];
        for (int k = 0; k < 3; k++) /* (byte - 128) << 8 */
            wide[k] = _mm256_xor_si256(
                _mm256_slli_epi16(_mm256_cvtepu8_epi16(load_128(in[k] + i)), 8), half_range);
        for (int o = 0; o < outputs; o++) {
            __m256i c[4];
            for (int k = 0; k < 4; k++) {
                const size_t at = (size_t)(4 * o + k) * rows->plane + i;
                const __m256i upper = load(rows->upper + at);
                const __m256i step = _mm256_sub_epi16(load(rows->lower + at), upper);
                c[k] = _mm256_add_epi16(upper, _mm256_mulhrs_epi16(step, weight));
            }
            const __m256i sum = _mm256_adds_epi16(
                _mm256_adds_epi16(_mm256_mulhrs_epi16(c[0], wide[0]),
                                  _mm256_mulhrs_epi16(c[1], wide[1])),
                _mm256_adds_epi16(_mm256_mulhrs_epi16(c[2], wide[2]), c[3]));
            const __m256i level = _mm256_srai_epi16(sum, CGT_OFFSET_BITS);
            _mm_storeu_si128((__m128i *)(out[o] + i),
                             _mm_packus_epi16(_mm256_castsi256_si128(level),
                                              _mm256_extracti128_si256(level, 1)));
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

const cgt_kernels cgt_kernels_avx2 = {
    .name = "avx2",
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
    .float_to_u8 = float_to_u8_256,
    .float_to_u8_truncated = float_to_u8_truncated_256,
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
typedef int cgt_no_avx2; /* ISO C forbids an empty translation unit */
#endif
