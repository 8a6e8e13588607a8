/* cgt.h - conversion of images to tensors and back.
 *
 * This is the manual of libcgt, the C library of the CycleGAN toolkit. It
 * converts between the output of cameras and decoders (8-bit, interleaved or
 * YUV, any row stride) and the input of networks (float, planar, [-1, 1]). Its
 * resize antialiases as Pillow does.
 *
 *     cgt_plan *plan;                              // once per stream
 *     cgt_plan_create(&plan, 1280, 720, 256, 256, CGT_FILTER_BILINEAR, NULL);
 *     void *scratch = malloc(cgt_scratch_size(plan, 3, CGT_PIXELS));
 *     ...                                          // per frame
 *     cgt_pack(plan, &frame, &tensor, NULL, 0, 256, scratch);
 *
 * Layout    Interleaved pixels are rows of `width * channels` bytes. Two rows
 *           are `stride` bytes apart, with stride >= width * channels. Strides
 *           of tensors count elements, not bytes. Data needs only the alignment
 *           of its elements. Source and destination must not overlap. No byte
 *           outside the rows is read or written.
 * Range     Bytes are 0..255. Floats are in [-1, 1]: f = b / 127.5 - 1, unless
 *           a cgt_packing sets another scale and offset.
 * Threads   Every function is reentrant. The only global is the table of row
 *           functions, which the first call selects. A plan is read-only after
 *           its creation, so any number of threads may use it, each with its
 *           own scratch memory. Only cgt_plan_create allocates memory.
 *           A call writes output rows first_row <= y < last_row only. To use
 *           several threads, give each a band of rows of the same image.
 * Numbers   Resizing uses integer arithmetic. Everything else uses single float
 *           operations, which are never fused. So every instruction set returns
 *           the same bits, and bands return the same bits as one call.
 * Errors    Functions return CGT_OK or a negative code, which cgt_strerror()
 *           describes. After an error nothing has been written.
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

#define CGT_MAX_SIDE 32768 /* pixels, of any image or tensor */

enum {
    CGT_OK = 0,
    CGT_E_SIZE = -1,     /* a side is < 1 or > CGT_MAX_SIDE, or sizes differ */
    CGT_E_STRIDE = -2,   /* rows or planes would overlap */
    CGT_E_CHANNELS = -3, /* not 1, 3 or 4, or not 3 or 4 when swapping red and blue */
    CGT_E_ENUM = -4,     /* unknown filter, format, matrix, type, layout or rounding */
    CGT_E_MEMORY = -5,   /* out of memory */
    CGT_E_NULL = -6,     /* a pointer is NULL */
    CGT_E_BOX = -7,      /* the box is empty or extends outside the image */
    CGT_E_PADDING = -8,  /* the padding is larger than the image that it reflects */
    CGT_E_ROWS = -9,     /* not 0 <= first_row <= last_row <= rows, or odd in a YUV image */
    CGT_E_SCALE = -10,   /* a scale or offset is not finite */
    CGT_E_SIMD = -11,    /* this CPU lacks the instruction set in CGT_SIMD */
    CGT_E_GUIDE = -12    /* radius, eps or detail is out of range */
};

/* Return a description of an error code. */
CGT_API const char *cgt_strerror(int code);

/* Return the instruction set in use: "scalar", "avx2", "avx512" (F, BW, VBMI)
 * or "neon". It is the best one of the CPU, or the one in the environment
 * variable CGT_SIMD. Return NULL if the CPU lacks that one. */
CGT_API const char *cgt_simd(void);

/* ---- Plans ------------------------------------------------------------- */

/* Interpolation filters, as in Pillow (Image.Resampling). When shrinking, the
 * support is stretched by the scale factor, which antialiases (not for
 * nearest). Weights are normalized over the samples inside the image. */
typedef enum {
    CGT_FILTER_BILINEAR = 0, /* triangle, support 1 */
    CGT_FILTER_BICUBIC = 1,  /* Keys' cubic convolution, a = -0.5 */
    CGT_FILTER_BOX = 2,      /* area average, support 1/2 */
    CGT_FILTER_LANCZOS = 3,  /* sinc windowed by sinc, support 3 */
    CGT_FILTER_NEAREST = 4   /* the sample at the center */
} cgt_filter;

/* Filter tables of one combination of input size, box, output size and filter.
 * A video needs them once. */
typedef struct cgt_plan cgt_plan;

/* Create a plan.
 *
 * `box` is the source region that fills the output: left, upper, right, lower
 * in source pixels, which may be fractions; NULL is the whole image. As in
 * Pillow, the filter also uses samples just outside the box. To crop before
 * resizing, pass a pointer into the image instead. */
CGT_API int cgt_plan_create(cgt_plan **plan, int in_width, int in_height, int out_width,
                            int out_height, cgt_filter filter, const float box[4]);
CGT_API void cgt_plan_destroy(cgt_plan *plan); /* NULL is allowed */

/* ---- Images ------------------------------------------------------------ */

typedef enum {
    CGT_PIXELS = 0, /* interleaved, in plane[0] */
    CGT_NV12 = 1,   /* Y in plane[0], interleaved U and V at half size in plane[1] */
    CGT_I420 = 2    /* Y, U, V in planes 0, 1, 2; U and V at half size */
} cgt_format;

typedef enum { CGT_BT601 = 0, CGT_BT709 = 1 } cgt_matrix;

/* YUV images count as 3 channels: red, green, blue. Half sizes are rounded up.
 * Each chroma sample applies to its 2x2 block: when writing, it is the mean of
 * the block, whose last column or row counts twice at an odd edge. Conversions
 * are within 0.6 levels of the real-valued ones in both directions, rounded to
 * nearest and clamped. */
typedef struct {
    int width, height, channels; /* channels: 1, 3 or 4 */
    cgt_format format;
    uint8_t *plane[3];   /* only read, if the image is a source */
    ptrdiff_t stride[3]; /* bytes */
    cgt_matrix matrix;   /* YUV only */
    int full_range;      /* YUV only: 0 for Y 16..235, C 16..240 */
} cgt_image;

/* Return the bytes of scratch memory of a call with this plan; 0 for an invalid argument. */
CGT_API size_t cgt_scratch_size(const cgt_plan *plan, int channels, cgt_format format);

/* Resize bytes to bytes, bit for bit as Pillow 13: with its 22-bit weights and
 * its order of passes, rounded and clamped after each pass. */
CGT_API int cgt_resize(const cgt_plan *plan, const cgt_image *src, uint8_t *dst,
                       ptrdiff_t dst_stride, int first_row, int last_row, void *scratch);

/* ---- Tensors ----------------------------------------------------------- */

typedef enum {
    CGT_F32 = 0,
    CGT_F16 = 1, /* IEEE binary16 */
    CGT_U8 = 2   /* for cgt_pack and guided upsampling */
} cgt_type;
typedef enum { CGT_CHW = 0, CGT_HWC = 1 } cgt_layout;

typedef struct {
    void *data;
    cgt_type type;
    cgt_layout layout;
    ptrdiff_t row_stride;   /* elements from row to row */
    ptrdiff_t plane_stride; /* elements from channel to channel; CHW only */
} cgt_tensor;

/* Options of cgt_pack beside resizing; NULL means CGT_PACKING. */
typedef struct {
    int swap_rb;                     /* exchange channels 0 and 2 (BGR input) */
    int padded_width, padded_height; /* of the tensor; 0 for no padding */
    float scale[4], offset[4];       /* f = b * scale[c] + offset[c], by tensor channel */
} cgt_packing;

#define CGT_PACKING {0, 0, 0, {1 / 127.5f, 1 / 127.5f, 1 / 127.5f, 1 / 127.5f}, {-1, -1, -1, -1}}

/* Resize, scale and lay out an image in one pass over the source rows.
 *
 * Intermediate values are neither rounded to bytes nor clamped; the resized
 * value is clamped to 0..255 before it is scaled. It is within 0.1 levels of
 * the exact one if an output depends on up to 100 samples per axis (weights
 * have 14 to 22 bits). Padding fills the right and lower margins of the tensor
 * by reflection about the last column and row, which are not repeated.
 *
 * Tensors of CGT_U8 get the resized values themselves, rounded to nearest; scale and
 * offset are ignored. This is faster than cgt_resize, which rounds after each pass. */
CGT_API int cgt_pack(const cgt_plan *plan, const cgt_image *src, const cgt_tensor *dst,
                     const cgt_packing *packing, int first_row, int last_row, void *scratch);

typedef enum {
    CGT_ROUND = 0,   /* to nearest, half to even */
    CGT_TRUNCATE = 1 /* toward zero, as in pytorch-CycleGAN-and-pix2pix */
} cgt_rounding;

/* Convert a CHW tensor in [-1, 1] to interleaved bytes: (f + 1) * 127.5,
 * clamped; NaN becomes 0. A width and height below the tensor's crop it. */
CGT_API int cgt_unpack(const cgt_tensor *src, int width, int height, int channels, int swap_rb,
                       cgt_rounding rounding, uint8_t *dst, ptrdiff_t dst_stride, int first_row,
                       int last_row);

/* Convert a CHW tensor of 3 channels to a CGT_NV12 or CGT_I420 image of dst's
 * size. The result is that of cgt_unpack and cgt_rgb_to_yuv, without the image
 * between them. Bands of rows start at even rows and end at even rows or at the
 * last one. */
CGT_API int cgt_unpack_yuv(const cgt_tensor *src, int swap_rb, cgt_rounding rounding,
                           const cgt_image *dst, int first_row, int last_row);

/* Convert a CGT_PIXELS image of 3 channels to a CGT_NV12 or CGT_I420 image of
 * its size. Bands of rows are as in cgt_unpack_yuv. */
CGT_API int cgt_rgb_to_yuv(const cgt_image *src, const cgt_image *dst, int first_row, int last_row);

/* ---- Guided upsampling ------------------------------------------------- */

/* A network's output has the size of its input, which is smaller than the
 * source image. These functions compute the output at the size of the source:
 * they describe the network's effect on the small image by local linear
 * coefficients (output = A * input + b, A is 3x3), interpolate these, and apply
 * them to the source. So edges and fine structures come from the source.
 *
 *     cgt_guide guide = {456, 256, CGT_GUIDED, 4, 1e-4f, 1.0f, CGT_I420, ...};
 *     guide.coefficients = malloc(cgt_guide_size(456, 256));     // once per stream
 *     void *scratch = malloc(cgt_guide_scratch_size(&guide));
 *     ...                                                        // per frame
 *     cgt_guide_fit(&guide, &network_input, &network_output, 0, 256, scratch);
 *     cgt_guide_apply(&guide, &frame, &output, 0, 720);
 */

#define CGT_MAX_RADIUS 64

typedef enum {
    /* The guided filter with a color guide: K. He, J. Sun, X. Tang, "Guided Image
     * Filtering", PAMI 2013, equations 14 to 20, whose coefficients are upsampled as
     * in K. He, J. Sun, "Fast Guided Filter", 2015. */
    CGT_GUIDED = 0,
    /* The small output, interpolated, plus the detail that the source has and the
     * interpolated small input lacks. Nothing is averaged. */
    CGT_DETAIL = 1
} cgt_guidance;

typedef struct {
    int width, height; /* of the small images */
    cgt_guidance method;
    int radius;   /* CGT_GUIDED: windows have 2 * radius + 1 pixels; 1..CGT_MAX_RADIUS */
    float eps;    /* CGT_GUIDED: added to the variances of colors in [0, 1]; 1e-6..1 */
    float detail; /* 0..1; 0 interpolates the small output without the source */
    /* The color space of the coefficients. For YUV sources, theirs is fastest. */
    cgt_format format;
    cgt_matrix matrix; /* YUV only */
    int full_range;    /* YUV only */
    int16_t *coefficients;
} cgt_guide;

/* Return the bytes of coefficients of small images of this size; 0 for an invalid size. */
CGT_API size_t cgt_guide_size(int width, int height);
/* Return the bytes of scratch memory of cgt_guide_fit; 0 for an invalid argument. */
CGT_API size_t cgt_guide_scratch_size(const cgt_guide *guide);

/* Compute the coefficients of rows first_row..last_row - 1 of the small images:
 * the network's input and output. Both have 3 channels, red, green and blue, and are
 * CHW in [-1, 1] or, with type CGT_U8, HWC bytes. Floats are rounded to bytes.
 *
 * Sums over windows are exact integers. Windows are clipped at the borders of the
 * image and divided by their true area. A is clamped to -8..8 in steps of 2^-11, b
 * to -1024..1024 levels in steps of 2^-4. */
CGT_API int cgt_guide_fit(const cgt_guide *guide, const cgt_tensor *input, const cgt_tensor *output,
                          int first_row, int last_row, void *scratch);

/* Apply the coefficients to a source of any size, and write an image of that size.
 *
 * Coefficients are interpolated bilinearly between the centers of pixels, and are
 * constant outside of them. If they are in RGB, both images may have any format, with
 * 3 channels. If they are in YUV, both images are YUV of that matrix and range. Then
 * chroma uses the mean of the luma of its 2x2 block, and coefficients at its center.
 * Rows of YUV output are as in cgt_unpack_yuv. `dst` may be `src` itself. Results are
 * within one level of the real-valued ones for the given coefficients. */
CGT_API int cgt_guide_apply(const cgt_guide *guide, const cgt_image *src, const cgt_image *dst,
                            int first_row, int last_row);

#ifdef __cplusplus
}
#endif
#endif
