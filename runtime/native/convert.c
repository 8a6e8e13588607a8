/* Resize, pack and unpack. Public functions check their arguments once; the
 * row functions below them check nothing. */

#include "internal.h"

static int check_image(const void *pixels, int width, int channels, ptrdiff_t stride) {
    if (!pixels)
        return CGT_E_NULL;
    if (channels != 1 && channels != 3 && channels != 4)
        return CGT_E_CHANNELS;
    if (stride < (ptrdiff_t)width * channels)
        return CGT_E_STRIDE;
    return CGT_OK;
}

static int check_tensor(const void *data, int width, int height, ptrdiff_t row_stride,
                        ptrdiff_t plane_stride) {
    if (!data)
        return CGT_E_NULL;
    if (row_stride < width || plane_stride < (ptrdiff_t)height * row_stride - (row_stride - width))
        return CGT_E_STRIDE;
    return CGT_OK;
}

/* sums[i] = weighted sum of column i over the source rows of output row y. */
static void column_sums(const cgt_axis *axis, int y, size_t row_bytes, const uint8_t *src,
                        ptrdiff_t stride, float *restrict sums) {
    const float *w = axis->weights + (size_t)y * (size_t)axis->taps;
    const uint8_t *row = src + axis->first[y] * stride;
    for (size_t i = 0; i < row_bytes; i++)
        sums[i] = w[0] * (float)row[i];
    for (int k = 1; k < axis->count[y]; k++) {
        row += stride;
        for (size_t i = 0; i < row_bytes; i++)
            sums[i] += w[k] * (float)row[i];
    }
}

/* out[x * channels + c] = weighted sum along the row of column sums. The
 * channel count is a constant at each call so that the inner loop unrolls. */
static inline void row_sums_n(const cgt_axis *axis, int channels, const float *restrict sums,
                              float *restrict out) {
    for (int x = 0; x < axis->out; x++) {
        const float *w = axis->weights + (size_t)x * (size_t)axis->taps;
        const float *in = sums + (size_t)axis->first[x] * (size_t)channels;
        float acc[4] = {0};
        for (int k = 0; k < axis->count[x]; k++)
            for (int c = 0; c < channels; c++)
                acc[c] += w[k] * in[k * channels + c];
        for (int c = 0; c < channels; c++)
            out[x * channels + c] = acc[c];
    }
}

/* One output row of the resize, as floats in [0, 255] (bicubic may overshoot). */
static const float *resize_row(const cgt_plan *plan, int channels, int y, const uint8_t *src,
                               ptrdiff_t stride, float *scratch) {
    const size_t in_row = (size_t)plan->x.in * (size_t)channels;
    float *out = scratch + in_row;
    column_sums(&plan->y, y, in_row, src, stride, scratch);
    if (channels == 1)
        row_sums_n(&plan->x, 1, scratch, out);
    else if (channels == 3)
        row_sums_n(&plan->x, 3, scratch, out);
    else
        row_sums_n(&plan->x, 4, scratch, out);
    return out;
}

static inline float clamp255(float v) {
    return v < 0.0f ? 0.0f : v > 255.0f ? 255.0f : v;
}

int cgt_resize_u8(const cgt_plan *plan, int channels, const uint8_t *src, ptrdiff_t src_stride,
                  uint8_t *dst, ptrdiff_t dst_stride, float *scratch) {
    if (!plan || !scratch)
        return CGT_E_NULL;
    int rc = check_image(src, plan->x.in, channels, src_stride);
    if (rc == CGT_OK)
        rc = check_image(dst, plan->x.out, channels, dst_stride);
    if (rc != CGT_OK)
        return rc;
    for (int y = 0; y < plan->y.out; y++) {
        const float *row = resize_row(plan, channels, y, src, src_stride, scratch);
        uint8_t *out = dst + y * dst_stride;
        for (int i = 0; i < plan->x.out * channels; i++)
            out[i] = (uint8_t)(clamp255(row[i]) + 0.5f);
    }
    return CGT_OK;
}

int cgt_pack_f32(const cgt_plan *plan, int channels, int swap_rb, const uint8_t *src,
                 ptrdiff_t src_stride, float *dst, ptrdiff_t row_stride, ptrdiff_t plane_stride,
                 float *scratch) {
    if (!plan || !scratch)
        return CGT_E_NULL;
    int rc = check_image(src, plan->x.in, channels, src_stride);
    if (rc == CGT_OK)
        rc = check_tensor(dst, plan->x.out, plan->y.out, row_stride, plane_stride);
    if (rc == CGT_OK && swap_rb && channels < 3)
        rc = CGT_E_CHANNELS;
    if (rc != CGT_OK)
        return rc;
    for (int y = 0; y < plan->y.out; y++) {
        const float *row = resize_row(plan, channels, y, src, src_stride, scratch);
        for (int c = 0; c < channels; c++) {
            const float *in = row + (swap_rb && c != 3 ? 2 - c : c);
            float *out = dst + c * plane_stride + y * row_stride;
            for (int x = 0; x < plan->x.out; x++)
                out[x] = clamp255(in[x * channels]) * (1.0f / 127.5f) - 1.0f;
        }
    }
    return CGT_OK;
}

int cgt_unpack_f32(int width, int height, int channels, int swap_rb, const float *src,
                   ptrdiff_t row_stride, ptrdiff_t plane_stride, uint8_t *dst,
                   ptrdiff_t dst_stride) {
    if (width < 1 || height < 1 || width > CGT_MAX_SIDE || height > CGT_MAX_SIDE)
        return CGT_E_SIZE;
    int rc = check_image(dst, width, channels, dst_stride);
    if (rc == CGT_OK)
        rc = check_tensor(src, width, height, row_stride, plane_stride);
    if (rc == CGT_OK && swap_rb && channels < 3)
        rc = CGT_E_CHANNELS;
    if (rc != CGT_OK)
        return rc;
    for (int y = 0; y < height; y++) {
        for (int c = 0; c < channels; c++) {
            const float *in = src + c * plane_stride + y * row_stride;
            uint8_t *out = dst + y * dst_stride + (swap_rb && c != 3 ? 2 - c : c);
            for (int x = 0; x < width; x++) {
                const float v = (in[x] + 1.0f) * 127.5f;
                /* Written so that NaN fails both comparisons and lands on 0. */
                const float kept = v > 0.0f ? (v < 255.0f ? v : 255.0f) : 0.0f;
                /* Adding 1.5 * 2^23 rounds to an integer, half to even. */
                out[x * channels] = (uint8_t)(int)((kept + 12582912.0f) - 12582912.0f);
            }
        }
    }
    return CGT_OK;
}

const char *cgt_strerror(int code) {
    switch (code) {
    case CGT_OK: return "done";
    case CGT_E_SIZE: return "a side is smaller than 1 or larger than 32768";
    case CGT_E_STRIDE: return "a stride is shorter than its row";
    case CGT_E_CHANNELS: return "channels must be 1, 3 or 4, and 3 or 4 to swap red and blue";
    case CGT_E_FILTER: return "no such filter";
    case CGT_E_MEMORY: return "out of memory";
    case CGT_E_NULL: return "a pointer is NULL";
    default: return "unknown error";
    }
}
