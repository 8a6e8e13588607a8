/* cgt.h - pixels in, tensors out, and back.
 *
 * The manual of libcgt, the C library of the CycleGAN toolkit. It converts
 * between what cameras and decoders give (8-bit, interleaved, any row stride)
 * and what networks take (float, planar, [-1, 1]), with a resize that
 * antialiases the way Pillow does.
 *
 * Layout    An image is rows of `width * channels` bytes; two rows are
 *           `stride` bytes apart, stride >= width * channels. Channels are
 *           1, 3 or 4. A tensor is `channels` planes of rows of float; strides
 *           of tensors count floats, not bytes.
 * Range     Bytes are 0..255. Floats are in [-1, 1]: f = b / 127.5 - 1.
 * Threads   Every function is reentrant. A plan is read-only after it was
 *           made, so any number of threads may use it, each with its own
 *           scratch. Nothing is allocated but by cgt_plan_create.
 * Numbers   The result does not depend on the compiler's choice of
 *           instructions: no fused multiply-add, a fixed order of summation.
 * Errors    Functions return CGT_OK or a negative code; on an error nothing
 *           was written. cgt_strerror() names it.
 */
#ifndef CGT_H
#define CGT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define CGT_API __declspec(dllexport)
#else
#define CGT_API __attribute__((visibility("default")))
#endif

enum {
    CGT_OK = 0,
    CGT_E_SIZE = -1,    /* a side is < 1, or too large to address         */
    CGT_E_STRIDE = -2,  /* a stride is shorter than its row               */
    CGT_E_CHANNELS = -3,/* channels is not 1, 3 or 4                      */
    CGT_E_FILTER = -4,  /* no such filter                                 */
    CGT_E_MEMORY = -5,  /* out of memory                                  */
    CGT_E_NULL = -6     /* a pointer is NULL                              */
};

/* Interpolation filters, as in Pillow (Image.Resampling): when shrinking, the
 * support is stretched by the scale, which is what antialiases. */
typedef enum {
    CGT_FILTER_BILINEAR = 0, /* triangle, support 1                       */
    CGT_FILTER_BICUBIC = 1   /* Keys' cubic convolution, a = -0.5         */
} cgt_filter;

/* The filter tables of one (input size, output size, filter). A video pays
 * for them once. */
typedef struct cgt_plan cgt_plan;

CGT_API int cgt_plan_create(cgt_plan **plan, int in_width, int in_height,
                            int out_width, int out_height, cgt_filter filter);
CGT_API void cgt_plan_destroy(cgt_plan *plan); /* NULL is fine */

/* Floats of scratch that one call with this plan needs. */
CGT_API size_t cgt_plan_scratch(const cgt_plan *plan, int channels);

/* Resize: bytes to bytes, rounded half up, clamped. */
CGT_API int cgt_resize_u8(const cgt_plan *plan, int channels,
                          const uint8_t *src, ptrdiff_t src_stride,
                          uint8_t *dst, ptrdiff_t dst_stride, float *scratch);

/* Pack: resize, [0, 255] -> [-1, 1], interleaved -> planar, in one pass over
 * the source rows. `swap_rb` exchanges the first and third channel (BGR in,
 * RGB out); it needs 3 or 4 channels. Channel c of output row y begins at
 * dst + c * plane_stride + y * row_stride. */
CGT_API int cgt_pack_f32(const cgt_plan *plan, int channels, int swap_rb,
                         const uint8_t *src, ptrdiff_t src_stride,
                         float *dst, ptrdiff_t row_stride,
                         ptrdiff_t plane_stride, float *scratch);

/* Unpack: planar floats in [-1, 1] -> interleaved bytes, (f + 1) * 127.5
 * rounded half to even, clamped to 0..255; NaN becomes 0. */
CGT_API int cgt_unpack_f32(int width, int height, int channels, int swap_rb,
                           const float *src, ptrdiff_t row_stride,
                           ptrdiff_t plane_stride,
                           uint8_t *dst, ptrdiff_t dst_stride);

CGT_API const char *cgt_strerror(int code);

#ifdef __cplusplus
}
#endif
#endif
