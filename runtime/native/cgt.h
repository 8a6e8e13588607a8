/* cgt.h - pixels in, tensors out, and back.
 *
 * The manual of libcgt, the C library of the CycleGAN toolkit. It converts
 * between what cameras and decoders give (8-bit, interleaved or YUV, any row
 * stride) and what networks take (float, planar, [-1, 1]), with a resize that
 * antialiases the way Pillow does.
 *
 *     cgt_plan *plan;                              // once per stream
 *     cgt_plan_create(&plan, 1280, 720, 256, 256, CGT_FILTER_BILINEAR, NULL);
 *     void *scratch = malloc(cgt_scratch_size(plan, 3, CGT_PIXELS));
 *     ...                                          // per frame
 *     cgt_pack(plan, &frame, &tensor, NULL, 0, 256, scratch);
 *
 * Layout    Interleaved pixels are rows of `width * channels` bytes; two rows
 *           are `stride` bytes apart, stride >= width * channels. Strides of
 *           tensors count elements, not bytes. Nothing needs alignment but
 *           that of its element. Source and destination must not overlap.
 *           Not a byte outside of the rows is read or written.
 * Range     Bytes are 0..255. Floats are in [-1, 1]: f = b / 127.5 - 1,
 *           unless a cgt_packing says otherwise.
 * Threads   Every function is reentrant; the only global is the table of row
 *           functions, chosen at the first call. A plan is read-only after it
 *           was made, so any number of threads may use it, each with its own
 *           scratch. Nothing is allocated but by cgt_plan_create.
 *           A call makes output rows first_row <= y < last_row only: to use
 *           more threads, give each a band of the same picture.
 * Numbers   Resizing is integer arithmetic, the rest single float operations,
 *           never fused: every instruction set gives the same bits, and bands
 *           give the same bits as one call.
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

#define CGT_MAX_SIDE 32768 /* pixels, of any picture or tensor */

enum {
    CGT_OK = 0,
    CGT_E_SIZE = -1,     /* a side is < 1 or > CGT_MAX_SIDE, or not the plan's */
    CGT_E_STRIDE = -2,   /* rows or planes would overlap                  */
    CGT_E_CHANNELS = -3, /* not 1, 3 or 4; not 3 or 4 to swap red and blue */
    CGT_E_ENUM = -4,     /* no such filter, format, matrix, type, layout  */
    CGT_E_MEMORY = -5,   /* out of memory                                 */
    CGT_E_NULL = -6,     /* a pointer is NULL                             */
    CGT_E_BOX = -7,      /* the box is empty or reaches out of the picture */
    CGT_E_PADDING = -8,  /* more padding than there is picture to reflect */
    CGT_E_ROWS = -9,     /* not 0 <= first_row <= last_row <= rows        */
    CGT_E_SCALE = -10,   /* a scale or an offset is not finite            */
    CGT_E_SIMD = -11     /* CGT_SIMD asks for what this CPU has not       */
};

CGT_API const char *cgt_strerror(int code);

/* The instruction set in use: "scalar", "avx2", "avx512" (F, BW, VBMI) or
 * "neon"; the best that the CPU has, or what the environment variable CGT_SIMD
 * says. NULL when it asks for one that is not there. */
CGT_API const char *cgt_simd(void);

/* ---- Plans ------------------------------------------------------------- */

/* Interpolation filters, as in Pillow (Image.Resampling). When shrinking, the
 * support is stretched by the scale, which is what antialiases (nearest does
 * not). Weights are normalised over the samples that exist. */
typedef enum {
    CGT_FILTER_BILINEAR = 0, /* triangle, support 1                       */
    CGT_FILTER_BICUBIC = 1,  /* Keys' cubic convolution, a = -0.5         */
    CGT_FILTER_BOX = 2,      /* area average, support 1/2                 */
    CGT_FILTER_LANCZOS = 3,  /* sinc windowed by sinc, support 3          */
    CGT_FILTER_NEAREST = 4   /* the sample at the centre                  */
} cgt_filter;

/* The filter tables of one (input size, box, output size, filter). A video
 * pays for them once. */
typedef struct cgt_plan cgt_plan;

/* `box`: left, upper, right, lower in source pixels, fractions allowed, of
 * what is to fill the output; NULL for the whole picture. As with Pillow's
 * `box`, samples just outside of it count where the filter reaches them; to
 * cut first and resize then, pass a pointer into the picture instead. */
CGT_API int cgt_plan_create(cgt_plan **plan, int in_width, int in_height, int out_width,
                            int out_height, cgt_filter filter, const float box[4]);
CGT_API void cgt_plan_destroy(cgt_plan *plan); /* NULL is fine */

/* ---- Pictures ---------------------------------------------------------- */

typedef enum {
    CGT_PIXELS = 0, /* interleaved, plane[0]                               */
    CGT_NV12 = 1,   /* Y in plane[0], UVUV.. at half size in plane[1]      */
    CGT_I420 = 2    /* Y, U, V in planes 0, 1, 2; U and V at half size     */
} cgt_format;

typedef enum { CGT_BT601 = 0, CGT_BT709 = 1 } cgt_matrix;

/* YUV pictures count as 3 channels, red green blue. Half sizes are rounded up;
 * each chroma sample serves its 2x2 block. The conversion is within 0.6 levels
 * of the real-valued one, then clamped. */
typedef struct {
    int width, height, channels; /* channels: 1, 3 or 4                    */
    cgt_format format;
    const uint8_t *plane[3];
    ptrdiff_t stride[3];         /* bytes                                  */
    cgt_matrix matrix;           /* YUV only                               */
    int full_range;              /* YUV only: 0 for Y 16..235, C 16..240   */
} cgt_image;

/* Bytes of scratch that one call with this plan needs; 0 on a bad argument. */
CGT_API size_t cgt_scratch_size(const cgt_plan *plan, int channels, cgt_format format);

/* Resize: bytes to bytes, the same bytes as Pillow 13: its weights of 22 bits,
 * its order of passes, rounded and clamped after each. */
CGT_API int cgt_resize(const cgt_plan *plan, const cgt_image *src, uint8_t *dst,
                       ptrdiff_t dst_stride, int first_row, int last_row, void *scratch);

/* ---- Tensors ----------------------------------------------------------- */

typedef enum { CGT_F32 = 0, CGT_F16 = 1 } cgt_type; /* F16: IEEE binary16  */
typedef enum { CGT_CHW = 0, CGT_HWC = 1 } cgt_layout;

typedef struct {
    void *data;
    cgt_type type;
    cgt_layout layout;
    ptrdiff_t row_stride;   /* elements from row to row                    */
    ptrdiff_t plane_stride; /* elements from channel to channel; CHW only  */
} cgt_tensor;

/* What cgt_pack does beside resizing; NULL stands for CGT_PACKING. */
typedef struct {
    int swap_rb;                     /* exchange channels 0 and 2 (BGR in)  */
    int padded_width, padded_height; /* of the tensor; 0: no padding        */
    float scale[4], offset[4];       /* f = b * scale[c] + offset[c], c as in the tensor */
} cgt_packing;

#define CGT_PACKING                                                                     \
    {                                                                                   \
        0, 0, 0, {1 / 127.5f, 1 / 127.5f, 1 / 127.5f, 1 / 127.5f}, { -1, -1, -1, -1 }   \
    }

/* Pack: resize, scale and lay out in one pass over the source rows. Nothing is
 * rounded to bytes or clamped in between; the result is clamped to the range of
 * a byte before it is scaled. It is within 0.1 levels of the exact one where an
 * output is made of up to 100 samples each way (weights have 14 to 22 bits).
 * The tensor's right and lower margins are filled by reflection about the last
 * column and row (which are not repeated). */
CGT_API int cgt_pack(const cgt_plan *plan, const cgt_image *src, const cgt_tensor *dst,
                     const cgt_packing *packing, int first_row, int last_row, void *scratch);

typedef enum {
    CGT_ROUND = 0,   /* to nearest, half to even                           */
    CGT_TRUNCATE = 1 /* towards zero, as pytorch-CycleGAN-and-pix2pix does */
} cgt_rounding;

/* Unpack: a CHW tensor of [-1, 1] -> interleaved bytes, (f + 1) * 127.5,
 * clamped; NaN becomes 0. Smaller width and height than the tensor's crop it. */
CGT_API int cgt_unpack(const cgt_tensor *src, int width, int height, int channels, int swap_rb,
                       cgt_rounding rounding, uint8_t *dst, ptrdiff_t dst_stride,
                       int first_row, int last_row);

#ifdef __cplusplus
}
#endif
#endif
