/* Conversion of tensors to bytes. */
#include "internal.h"

const float *cgt_tensor_row(const cgt_kernels *kernels, const cgt_tensor *tensor, int channel,
                            int row, int x, size_t n, float *buffer) {
    const ptrdiff_t offset = channel * tensor->plane_stride + row * tensor->row_stride + x;
    if (tensor->type == CGT_F32)
        return (const float *)tensor->data + offset;
    kernels->f16_to_f32((const uint16_t *)tensor->data + offset, n, buffer);
    return buffer;
}

int cgt_unpack(const cgt_tensor *src, int width, int height, int channels, int swap_rb,
               cgt_rounding rounding, uint8_t *dst, ptrdiff_t dst_stride, int first_row,
               int last_row) {
    if (width < 1 || height < 1 || width > CGT_MAX_SIDE || height > CGT_MAX_SIDE)
        return CGT_E_SIZE;
    int rc = cgt_check_bytes(dst, width, channels, dst_stride);
    if (rc == CGT_OK)
        rc = cgt_check_tensor(src, width, height, channels);
    if (rc == CGT_OK && swap_rb && channels < 3)
        rc = CGT_E_CHANNELS;
    if (rc == CGT_OK &&
        (src->layout != CGT_CHW || src->type == CGT_U8 || (rounding != CGT_ROUND && rounding != CGT_TRUNCATE)))
        rc = CGT_E_ENUM;
    if (rc == CGT_OK)
        rc = cgt_check_rows(first_row, last_row, height);
    if (rc != CGT_OK)
        return rc;
    const cgt_kernels *kernels = cgt_kernels_current();
    if (!kernels)
        return CGT_E_SIMD;

    uint8_t bytes[4][CGT_CHUNK_PIXELS];
    float buffer[CGT_CHUNK_PIXELS];
    const uint8_t *planes[4];
    for (int c = 0; c < channels; c++)
        planes[c] = bytes[swap_rb && c != 3 ? 2 - c : c];
    for (int y = first_row; y < last_row; y++) {
        uint8_t *out = dst + y * dst_stride;
        for (int x = 0; x < width; x += CGT_CHUNK_PIXELS) {
            const size_t n = (size_t)(width - x < CGT_CHUNK_PIXELS ? width - x : CGT_CHUNK_PIXELS);
            for (int c = 0; c < channels; c++) {
                const float *in = cgt_tensor_row(kernels, src, c, y, x, n, buffer);
                if (rounding == CGT_ROUND)
                    kernels->float_to_u8(in, n, bytes[c]);
                else
                    kernels->float_to_u8_truncated(in, n, bytes[c]);
            }
            kernels->interleave[channels](planes, n, out);
            out += n * (size_t)channels;
        }
    }
    return CGT_OK;
}
