/* Shared by the library's own files; not installed. */
#ifndef CGT_INTERNAL_H
#define CGT_INTERNAL_H

#include "cgt.h"

enum {
    CGT_LANES = 16,     /* row functions write outputs in groups of up to this many */
    CGT_SUM_FRACTION_BITS = 6,   /* bits after the point of a column sum: 324 * 64 < 2^15, and
                           Lanczos twice over overshoots to no more than that */
    CGT_CHUNK_PIXELS = 1024    /* pixels that unpack and YUV convert at a time, on the stack */
};

/* One axis of a separable filter: output o is the sum over i < taps of
 * weights[o * taps + i] * input[lo + first[o] + i] / 2^bits. Beyond count[o]
 * weights are 0; beyond `out` there are CGT_LANES more outputs of weight 0.
 * For bytes to bytes the weights are Pillow's, of 22 bits; `high` and `low` are
 * the same in two parts that 16-bit multipliers take: high * 2^11 + low. */
typedef struct {
    int in, out, taps, bits;
    int lo, span;        /* the inputs that are used: lo .. lo + span - 1 */
    int identity;        /* output o is input lo + o */
    int *first, *count;
    int16_t *weights, *high, *low;
    int32_t *weights32;
} cgt_axis;

struct cgt_plan {
    cgt_axis x, y;
    int vertical_first;      /* resize: rows are summed before columns */
};

/* The functions that touch every pixel, one table per instruction set. They
 * check nothing. `n` counts elements and is at least 1. */
typedef struct {
    const char *name;

    /* out[i] = (sum over k < taps of weights[k] * rows[k][i]) >> shift, rounded half up.
     * taps is even, shift at least 1. out has room for 64 more. */
    void (*vertical_pass)(const uint8_t *const *rows, int taps, const int16_t *weights, int shift,
                    size_t n, int16_t *out);
    /* out[c * plane + o] = sum over k < taps of weights[o][k] * in[(first[o] + k) * channels + c],
     * with weights one of the axis' tables of 16 bits. By channels. Reads up to taps pixels and
     * 64 values past the end of `in`. */
    void (*horizontal_pass[5])(const cgt_axis *axis, const int16_t *weights, const int16_t *in, int32_t *out,
                    size_t plane);
    /* Interleaved bytes to planes of n floats each: byte * scale[c] + offset[c]; by channels. */
    void (*deinterleave[5])(const uint8_t *in, size_t n, const float *scale, const float *offset,
                     float *const *out);
    /* Planes of n bytes, in any order, to interleaved bytes; by channels. */
    void (*interleave[5])(const uint8_t *const *planes, size_t n, uint8_t *out);

    /* out = clamp(in, 0, top) * scale + offset */
    void (*scale)(const int32_t *in, size_t n, int32_t top, float scale, float offset, float *out);
    void (*u8_to_i16)(const uint8_t *in, size_t n, int16_t *out);
    /* The sum of weights[k] * rows[k][i], of 22 bits after the point, rounded half up, clamped */
    void (*vertical_pass_u8)(const uint8_t *const *rows, int taps, const int32_t *weights, size_t n,
                  uint8_t *out);
    /* The same of high * 2^11 + low */
    void (*sums_to_u8)(const int32_t *high, const int32_t *low, size_t n, uint8_t *out);
    void (*float_to_u8)(const float *in, size_t n, uint8_t *out); /* [-1, 1] to bytes, rounded */
    void (*float_to_u8_truncated)(const float *in, size_t n, uint8_t *out); /* [-1, 1] to bytes, truncated */
    void (*f32_to_f16)(const float *in, size_t n, uint16_t *out);
    void (*f16_to_f32)(const uint16_t *in, size_t n, float *out);

    /* One row of n pixels; u and v are `step` bytes from sample to sample. */
    void (*yuv_to_rgb)(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step, size_t n,
                const int16_t coefficients[6], uint8_t *const rgb[3]);
} cgt_kernels;

extern const cgt_kernels cgt_kernels_scalar;
#if defined(__x86_64__)
extern const cgt_kernels cgt_kernels_avx2;
extern const cgt_kernels cgt_kernels_avx512;
#elif defined(__aarch64__)
extern const cgt_kernels cgt_kernels_neon;
#endif

/* The tables that this CPU can run, best first, ended by NULL. */
const cgt_kernels *const *cgt_kernels_available(void);
/* The table in use; NULL when CGT_SIMD names none of the above. */
const cgt_kernels *cgt_kernels_current(void);

/* Source rows as interleaved bytes. YUV is converted on the way into a ring of
 * `capacity` rows, so rows must be asked for in order, and stay valid until
 * `capacity` later ones have been asked for. */
typedef struct {
    const cgt_kernels *kernels;
    const cgt_image *image;
    int x, width;              /* the columns that are wanted */
    int capacity, next;        /* next: the first row that is not in the ring */
    size_t ring_stride;
    uint8_t *ring;             /* YUV only */
} cgt_source;

size_t cgt_source_ring(const cgt_plan *plan, cgt_format format); /* bytes */
void cgt_source_open(cgt_source *source, const cgt_kernels *kernels, const cgt_plan *plan,
                     const cgt_image *image, uint8_t *ring);
const uint8_t *cgt_source_row(cgt_source *source, int row);

/* The scratch of one call, carved up. */
typedef struct {
    const uint8_t **tap_rows;  /* y.taps pointers */
    int16_t *column_sums;      /* a source-wide row of column sums, `column_sums_length` in all */
    size_t column_sums_length;
    int32_t *sums, *low;   /* planes of `plane` sums: an output-wide row */
    float *line, *interleaved_line;   /* channels * plane floats each */
    uint8_t *bytes;        /* y.taps + 1 rows of channels * plane, or one of the source */
    uint8_t *ring;         /* of the source */
    size_t plane;
    size_t size;           /* of all, with room to align */
} cgt_scratch;

/* With scratch NULL only plane and size are of use. */
cgt_scratch cgt_scratch_layout(const cgt_plan *plan, int channels, cgt_format format,
                              void *scratch);
/* Row functions read past a row's end and multiply what they find there by 0. */
void cgt_scratch_clear(const cgt_scratch *s, int channels);

int cgt_check_image(const cgt_image *image, const cgt_plan *plan);
int cgt_check_rows(int first_row, int last_row, int rows);
int cgt_check_bytes(const void *data, int width, int channels, ptrdiff_t stride);
int cgt_check_tensor(const cgt_tensor *tensor, int width, int height, int channels);

#endif
