/* Internal interface of the library's files; not installed. */
#ifndef CGT_INTERNAL_H
#define CGT_INTERNAL_H

#include "cgt.h"

enum {
    /* Row functions write outputs in groups of up to this many. */
    CGT_LANES = 16,
    /* Fraction bits of a column sum. 324 * 64 < 2^15, and two passes of Lanczos
     * overshoot to no more than 324. */
    CGT_SUM_FRACTION_BITS = 6,
    /* Pixels that unpacking and YUV conversion process at a time, on the stack. */
    CGT_CHUNK_PIXELS = 1024
};

/* One axis of a separable filter: output o is the sum over i < taps of
 * weights[o * taps + i] * input[lo + first[o] + i] / 2^bits. From index count[o]
 * on, weights are 0. After `out` there are CGT_LANES more outputs of weight 0.
 * weights32 are Pillow's 22-bit weights, for bytes to bytes. `high` and `low`
 * are their two halves for 16-bit multipliers: high * 2^11 + low. */
typedef struct {
    int in, out, taps, bits;
    int lo, span; /* the inputs in use: lo .. lo + span - 1 */
    int identity; /* output o is input lo + o */
    int *first, *count;
    int16_t *weights, *high, *low;
    int32_t *weights32;
} cgt_axis;

struct cgt_plan {
    cgt_axis x, y;
    int vertical_first; /* cgt_resize: the vertical pass comes first */
};

/* Weights of red, green and blue times 2^15, and what is added to the weighted sum in units of
 * 1/128 level: the value of black and half a level. */
typedef struct {
    int16_t y[3], u[3], v[3];
    int16_t black, middle;
} cgt_yuv_weights;

/* Guided upsampling. A row of coefficients has a plane for each input (A) and one for the offset
 * (b) of each output: output o is the sum of plane 4 * o + i times input i, plus plane 4 * o + 3.
 * Inputs are relative to 128. */
enum {
    CGT_GUIDE_PLANES = 12,
    CGT_GUIDE_SUMS = 21,          /* 3 inputs, 3 outputs, 6 and 9 products of these */
    CGT_SLOPE_BITS = 11,          /* of A */
    CGT_OFFSET_BITS = 4,          /* of b, which includes half a level */
    CGT_MAX_COEFFICIENT = 16383,  /* differences of two fit into 16 bits */
    CGT_GUIDE_SLACK = 64,         /* words after a row of a plane of coefficients */
    CGT_GUIDE_CHUNK = 512         /* columns that are processed at a time, on the stack */
};

/* What is added to the covariances of the inputs (upper triangle by rows), and the
 * least values of the pivots of their factorization. */
typedef struct {
    float added[6], pivots[3];
} cgt_regularization;

/* Linear interpolation of the samples of a row. */
typedef struct {
    size_t n;
    int32_t first[CGT_GUIDE_CHUNK];
    int16_t weight[CGT_GUIDE_CHUNK]; /* of the next sample, times 2^15 */
    /* For groups of 8 and of 32: first[i] minus that of the group, and whether this is always
     * less than 8 and 32: unless the small image is the larger one. */
    uint8_t bytes[2 * CGT_GUIDE_CHUNK]; /* positions of the two bytes of each sample */
    uint16_t words[CGT_GUIDE_CHUNK];
    int is_dense_8, is_dense_32;
} cgt_interpolation;

/* Two rows of coefficients at full width, planes `plane` words apart, and the weight of the lower
 * one times 2^15. */
typedef struct {
    const int16_t *upper, *lower;
    size_t plane;
    int16_t weight;
} cgt_guide_rows;

/* Row functions, which process every pixel: one table per instruction set. They
 * check no arguments. `n` counts elements and is at least 1. Arrays of five are
 * indexed by the number of channels. */
typedef struct {
    const char *name;

    /* out[i] = (sum over k < taps of weights[k] * rows[k][i]) >> shift, rounded half up.
     * taps is even, shift at least 1. out has space for 64 more values. */
    void (*vertical_pass)(const uint8_t *const *rows, int taps, const int16_t *weights, int shift,
                          size_t n, int16_t *out);
    /* out[c * plane + o] = sum over k < taps of weights[o][k] * in[(first[o] + k) * channels + c],
     * where weights is one of the axis' 16-bit tables. Reads up to taps pixels and 64 values past
     * the end of `in`. */
    void (*horizontal_pass[5])(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                               int32_t *out, size_t plane);
    /* Interleaved bytes to planes of n floats each: byte * scale[c] + offset[c]. */
    void (*deinterleave[5])(const uint8_t *in, size_t n, const float *scale, const float *offset,
                            float *const *out);
    /* Interleaved bytes of 3 channels to planes of n bytes. */
    void (*split)(const uint8_t *in, size_t n, uint8_t *const planes[3]);
    /* Planes of n bytes, in any order, to interleaved bytes. */
    void (*interleave[5])(const uint8_t *const *planes, size_t n, uint8_t *out);

    /* out = clamp(in, 0, top) * scale + offset */
    void (*scale)(const int32_t *in, size_t n, int32_t top, float scale, float offset, float *out);
    /* out = clamp(in / 2^bits, 0, 255), rounded half up */
    void (*sums_to_levels)(const int32_t *in, size_t n, int bits, uint8_t *out);
    void (*u8_to_i16)(const uint8_t *in, size_t n, int16_t *out);
    /* out[i] = sum of weights[k] * rows[k][i] / 2^22, rounded half up and clamped */
    void (*vertical_pass_u8)(const uint8_t *const *rows, int taps, const int32_t *weights, size_t n,
                             uint8_t *out);
    /* out[i] = (high[i] * 2^11 + low[i]) / 2^22, rounded half up and clamped */
    void (*sums_to_u8)(const int32_t *high, const int32_t *low, size_t n, uint8_t *out);
    /* [-1, 1] to bytes, rounded or truncated */
    void (*float_to_u8)(const float *in, size_t n, uint8_t *out);
    void (*float_to_u8_truncated)(const float *in, size_t n, uint8_t *out);
    void (*f32_to_f16)(const float *in, size_t n, uint16_t *out);
    void (*f16_to_f32)(const uint16_t *in, size_t n, float *out);

    /* One row of n pixels; the samples of u and v are `step` bytes apart. */
    void (*yuv_to_rgb)(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step, size_t n,
                       const int16_t coefficients[6], uint8_t *const rgb[3]);
    /* One row of n pixels to luma, or to chroma at full size. */
    void (*weigh_rgb)(const uint8_t *const rgb[3], size_t n, const int16_t weights[3],
                      int16_t offset, uint8_t *out);
    /* Two rows of n pixels to (n + 1) / 2 chroma samples, which are `step` bytes apart. */
    void (*rgb_to_chroma)(const uint8_t *const top[3], const uint8_t *const bottom[3], size_t n,
                          const cgt_yuv_weights *weights, int step, uint8_t *u, uint8_t *v);

    /* Chroma of half width: the rounded means of 2x2 pixels of a row pair ((n + 1) / 2 values), pairs
     * of bytes to two planes and back, and each byte twice. */
    void (*block_means)(const uint8_t *top, const uint8_t *bottom, size_t n, uint8_t *out);
    void (*split_pairs)(const uint8_t *in, size_t n, uint8_t *first, uint8_t *second);
    void (*join_pairs)(const uint8_t *first, const uint8_t *second, size_t n, uint8_t *out);
    void (*repeat)(const uint8_t *in, size_t n, uint8_t *out);

    /* Guided upsampling; see rows_guide.h. */
    void (*guide_accumulate)(const int16_t *added, const int16_t *removed, size_t stride, size_t n,
                             int32_t *sums, size_t plane);
    void (*guide_accumulate_coefficients)(const int16_t *added, const int16_t *removed,
                                          size_t stride, size_t n, int32_t *sums, size_t plane);
    /* out[i] = sum over 1 <= k <= taps of in[i + k] */
    void (*box_sums)(const int32_t *in, size_t n, size_t taps, int32_t *out);
    void (*guide_solve)(const int32_t *sums, size_t plane, size_t n, const float *inverse_area,
                        const cgt_regularization *regularization, int16_t *out, size_t stride);
    void (*guide_mean)(const int32_t *sums, const int16_t *levels, size_t n,
                       const float *inverse_area, float detail, int16_t *out);
    void (*guide_detail)(const int16_t *input, const int16_t *output, size_t n, float detail,
                         int16_t *out);
    /* out[i] = in[first[i]] + (in[first[i] + 1] - in[first[i]]) * weight[i] / 2^15. Reads up to
     * CGT_GUIDE_SLACK words past the last sample. Writes up to 31 more words. */
    void (*interpolate)(const int16_t *in, const cgt_interpolation *table, int16_t *out);
    /* By number of outputs: see guide_apply_tail. */
    void (*guide_apply[4])(const cgt_guide_rows *rows, const uint8_t *const in[3], size_t n,
                           uint8_t *const out[3]);
} cgt_kernels;

extern const cgt_kernels cgt_kernels_scalar;
#if defined(__x86_64__)
extern const cgt_kernels cgt_kernels_avx2;
extern const cgt_kernels cgt_kernels_avx512;
#elif defined(__aarch64__)
extern const cgt_kernels cgt_kernels_neon;
#endif

/* Return the tables that this CPU can run, best first, terminated by NULL. */
const cgt_kernels *const *cgt_kernels_available(void);
/* Return the table in use; NULL if CGT_SIMD names none of the available ones. */
const cgt_kernels *cgt_kernels_current(void);

/* Source rows as interleaved bytes. YUV rows are converted into a ring of
 * `capacity` rows. So the rows must be requested in order, and each stays valid
 * until `capacity` later ones have been requested. */
typedef struct {
    const cgt_kernels *kernels;
    const cgt_image *image;
    int x, width;       /* the columns in use */
    int capacity, next; /* next: the first row not yet in the ring */
    size_t ring_stride;
    uint8_t *ring; /* YUV only */
} cgt_source;

size_t cgt_source_ring(const cgt_plan *plan, cgt_format format); /* bytes */
void cgt_source_open(cgt_source *source, const cgt_kernels *kernels, const cgt_plan *plan,
                     const cgt_image *image, uint8_t *ring);
const uint8_t *cgt_source_row(cgt_source *source, int row);

/* Floats of a tensor's row of a channel, from column x on; half floats are converted into `buffer`. */
const float *cgt_tensor_row(const cgt_kernels *kernels, const cgt_tensor *tensor, int channel,
                            int row, int x, size_t n, float *buffer);

/* Convert n pixels of a row of a YUV image, from column x on, which is even. */
void cgt_yuv_row(const cgt_kernels *kernels, const cgt_image *image, int x, size_t n, int row,
                 uint8_t *const rgb[3]);
/* Return the weights of a YUV image. */
const cgt_yuv_weights *cgt_yuv_weights_of(const cgt_image *image);
/* Write n pixels of rows y and y + 1 of a YUV image, from column x on, which is even.
 * The planes in `rows` are red, green and blue; the last row of an odd height is alone. */
void cgt_write_yuv(const cgt_kernels *kernels, const uint8_t *const rows[2][3], int x, size_t n,
                   const cgt_image *image, int y);

/* Scratch memory of one call, divided into regions. */
typedef struct {
    const uint8_t **tap_rows; /* y.taps pointers */
    int16_t *column_sums;     /* of one source row, padded to column_sums_length */
    size_t column_sums_length;
    int32_t *sums, *low_sums;       /* an output row: channels planes of `plane` sums */
    float *line, *interleaved_line; /* channels * plane floats each */
    uint8_t *bytes;                 /* y.taps + 1 rows of channels * plane, or one source row */
    uint8_t *ring;                  /* of cgt_source */
    size_t plane;
    size_t size; /* of all regions, including alignment */
} cgt_scratch;

/* Divide scratch memory; if it is NULL, only plane and size of the result are valid. */
cgt_scratch
cgt_scratch_layout(const cgt_plan *plan, int channels, cgt_format format, void *scratch);
/* Clear the regions in which row functions read past a row's end and multiply by 0. */
void cgt_scratch_clear(const cgt_scratch *s, int channels);

int cgt_check_image(const cgt_image *image);
int cgt_check_source(const cgt_image *image, const cgt_plan *plan);
int cgt_check_rows(int first_row, int last_row, int rows);
/* The rows of an image that is written: whole rows of chroma. */
int cgt_check_image_rows(const cgt_image *image, int first_row, int last_row);
int cgt_check_bytes(const void *data, int width, int channels, ptrdiff_t stride);
/* Return the words from plane to plane of a row of coefficients of small images of this width. */
size_t cgt_guide_stride(int width);
/* Fill the table for n samples from `x` on; every sample has `step` pixels (2 for chroma). */
void cgt_interpolate_columns(cgt_interpolation *table, int x, size_t n, int step, int small,
                             int large);

int cgt_check_guide(const cgt_guide *guide);
/* Every type and layout is valid here; few functions take CGT_U8. */
int cgt_check_tensor(const cgt_tensor *tensor, int width, int height, int channels);

#endif
