/* Conversion of red, green and blue to YUV 4:2:0. source.c has the opposite direction. */
#include "internal.h"

/* They follow from Kr and Kb (ITU-R BT.601, BT.709) and, for the limited range, from 219 / 255
 * and 224 / 255. The weights of luma sum to its range, those of chroma to 0. */
static const cgt_yuv_weights WEIGHTS[2][2] = {
    [CGT_BT601] = {{{8414, 16520, 3208}, {-4857, -9535, 14392}, {14392, -12051, -2341}, 2112, 16448},
                   {{9798, 19234, 3736}, {-5529, -10855, 16384}, {16384, -13720, -2664}, 64, 16448}},
    [CGT_BT709] = {{{5983, 20127, 2032}, {-3298, -11094, 14392}, {14392, -13072, -1320}, 2112, 16448},
                   {{6966, 23436, 2366}, {-3754, -12630, 16384}, {16384, -14882, -1502}, 64, 16448}},
};

const cgt_yuv_weights *cgt_yuv_weights_of(const cgt_image *image) {
    return &WEIGHTS[image->matrix][image->full_range != 0];
}

void cgt_write_yuv(const cgt_kernels *kernels, const uint8_t *const rows[2][3], int x, size_t n,
                   const cgt_image *image, int y) {
    const cgt_yuv_weights *weights = cgt_yuv_weights_of(image);
    const int nv12 = image->format == CGT_NV12;
    const int step = nv12 ? 2 : 1;
    const int pair = y + 1 < image->height;
    for (int i = 0; i <= pair; i++)
        kernels->weigh_rgb(rows[i], n, weights->y, weights->black,
                           image->plane[0] + (y + i) * image->stride[0] + x);
    const ptrdiff_t column = (ptrdiff_t)(x / 2) * step;
    uint8_t *u = image->plane[1] + y / 2 * image->stride[1] + column;
    uint8_t *v = nv12 ? u + 1 : image->plane[2] + y / 2 * image->stride[2] + column;
    kernels->rgb_to_chroma(rows[0], rows[pair], n, weights, step, u, v);
}

static int check_yuv(const cgt_image *image, int first_row, int last_row) {
    int rc = cgt_check_image(image);
    if (rc == CGT_OK && image->format == CGT_PIXELS)
        rc = CGT_E_ENUM;
    return rc == CGT_OK ? cgt_check_image_rows(image, first_row, last_row) : rc;
}

int cgt_unpack_yuv(const cgt_tensor *src, int swap_rb, cgt_rounding rounding, const cgt_image *dst,
                   int first_row, int last_row) {
    int rc = check_yuv(dst, first_row, last_row);
    if (rc == CGT_OK)
        rc = cgt_check_tensor(src, dst->width, dst->height, 3);
    if (rc == CGT_OK &&
        (src->layout != CGT_CHW || src->type == CGT_U8 || (rounding != CGT_ROUND && rounding != CGT_TRUNCATE)))
        rc = CGT_E_ENUM;
    if (rc != CGT_OK)
        return rc;
    const cgt_kernels *kernels = cgt_kernels_current();
    if (!kernels)
        return CGT_E_SIMD;

    uint8_t bytes[2][3][CGT_CHUNK_PIXELS];
    float buffer[CGT_CHUNK_PIXELS];
    const uint8_t *const rows[2][3] = {{bytes[0][0], bytes[0][1], bytes[0][2]},
                                       {bytes[1][0], bytes[1][1], bytes[1][2]}};
    for (int y = first_row; y < last_row; y += 2) {
        for (int x = 0; x < dst->width; x += CGT_CHUNK_PIXELS) {
            const int left = dst->width - x;
            const size_t n = (size_t)(left < CGT_CHUNK_PIXELS ? left : CGT_CHUNK_PIXELS);
            for (int i = 0; i < 2 && y + i < dst->height; i++) {
                for (int c = 0; c < 3; c++) {
                    const float *in = cgt_tensor_row(kernels, src, swap_rb ? 2 - c : c, y + i, x, n,
                                                     buffer);
                    if (rounding == CGT_ROUND)
                        kernels->float_to_u8(in, n, bytes[i][c]);
                    else
                        kernels->float_to_u8_truncated(in, n, bytes[i][c]);
                }
            }
            cgt_write_yuv(kernels, rows, x, n, dst, y);
        }
    }
    return CGT_OK;
}

int cgt_rgb_to_yuv(const cgt_image *src, const cgt_image *dst, int first_row, int last_row) {
    int rc = check_yuv(dst, first_row, last_row);
    if (rc == CGT_OK)
        rc = cgt_check_image(src);
    if (rc == CGT_OK && src->format != CGT_PIXELS)
        rc = CGT_E_ENUM;
    if (rc == CGT_OK && src->channels != 3)
        rc = CGT_E_CHANNELS;
    if (rc == CGT_OK && (src->width != dst->width || src->height != dst->height))
        rc = CGT_E_SIZE;
    if (rc != CGT_OK)
        return rc;
    const cgt_kernels *kernels = cgt_kernels_current();
    if (!kernels)
        return CGT_E_SIMD;

    uint8_t bytes[2][3][CGT_CHUNK_PIXELS];
    const uint8_t *const rows[2][3] = {{bytes[0][0], bytes[0][1], bytes[0][2]},
                                       {bytes[1][0], bytes[1][1], bytes[1][2]}};
    for (int y = first_row; y < last_row; y += 2) {
        for (int x = 0; x < dst->width; x += CGT_CHUNK_PIXELS) {
            const int left = dst->width - x;
            const size_t n = (size_t)(left < CGT_CHUNK_PIXELS ? left : CGT_CHUNK_PIXELS);
            for (int i = 0; i < 2 && y + i < dst->height; i++) {
                uint8_t *const planes[3] = {bytes[i][0], bytes[i][1], bytes[i][2]};
                kernels->split(src->plane[0] + (y + i) * src->stride[0] + (ptrdiff_t)x * 3, n,
                               planes);
            }
            cgt_write_yuv(kernels, rows, x, n, dst, y);
        }
    }
    return CGT_OK;
}
