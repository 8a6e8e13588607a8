/* Argument checks of the public functions. */
#include "internal.h"

/* A row or channel number times this does not overflow. */
static const ptrdiff_t MAX_STRIDE = PTRDIFF_MAX / CGT_MAX_SIDE / 8;

int cgt_check_bytes(const void *data, int width, int channels, ptrdiff_t stride) {
    if (!data)
        return CGT_E_NULL;
    if (channels != 1 && channels != 3 && channels != 4)
        return CGT_E_CHANNELS;
    if (stride < (ptrdiff_t)width * channels || stride > MAX_STRIDE)
        return CGT_E_STRIDE;
    return CGT_OK;
}

int cgt_check_image(const cgt_image *image) {
    if (!image)
        return CGT_E_NULL;
    if (image->width < 1 || image->width > CGT_MAX_SIDE || image->height < 1 ||
        image->height > CGT_MAX_SIDE)
        return CGT_E_SIZE;
    if (image->format == CGT_PIXELS)
        return cgt_check_bytes(image->plane[0], image->width, image->channels, image->stride[0]);
    if (image->format != CGT_NV12 && image->format != CGT_I420)
        return CGT_E_ENUM;
    if (image->matrix != CGT_BT601 && image->matrix != CGT_BT709)
        return CGT_E_ENUM;
    if (image->channels != 3)
        return CGT_E_CHANNELS;
    const int half = (image->width + 1) / 2;
    int rc = cgt_check_bytes(image->plane[0], image->width, 1, image->stride[0]);
    if (image->format == CGT_NV12 && rc == CGT_OK)
        return cgt_check_bytes(image->plane[1], half * 2, 1, image->stride[1]);
    for (int i = 1; i < 3 && rc == CGT_OK; i++)
        rc = cgt_check_bytes(image->plane[i], half, 1, image->stride[i]);
    return rc;
}

int cgt_check_source(const cgt_image *image, const cgt_plan *plan) {
    if (!image || !plan)
        return CGT_E_NULL;
    if (image->width != plan->x.in || image->height != plan->y.in)
        return CGT_E_SIZE;
    return cgt_check_image(image);
}

int cgt_check_guide(const cgt_guide *guide) {
    if (!guide || !guide->coefficients)
        return CGT_E_NULL;
    if (guide->width < 1 || guide->width > CGT_MAX_SIDE || guide->height < 1 ||
        guide->height > CGT_MAX_SIDE)
        return CGT_E_SIZE;
    if (guide->method != CGT_GUIDED && guide->method != CGT_DETAIL)
        return CGT_E_ENUM;
    if (guide->format != CGT_PIXELS && guide->format != CGT_NV12 && guide->format != CGT_I420)
        return CGT_E_ENUM;
    if (guide->format != CGT_PIXELS && guide->matrix != CGT_BT601 && guide->matrix != CGT_BT709)
        return CGT_E_ENUM;
    /* Comparisons with NaN are false. */
    if (!(guide->detail >= 0.0f && guide->detail <= 1.0f))
        return CGT_E_GUIDE;
    if (guide->method == CGT_GUIDED && !(guide->radius >= 1 && guide->radius <= CGT_MAX_RADIUS &&
                                         guide->eps >= 1e-6f && guide->eps <= 1.0f))
        return CGT_E_GUIDE;
    return CGT_OK;
}

int cgt_check_rows(int first_row, int last_row, int rows) {
    return first_row < 0 || first_row > last_row || last_row > rows ? CGT_E_ROWS : CGT_OK;
}

int cgt_check_image_rows(const cgt_image *image, int first_row, int last_row) {
    if (image->format != CGT_PIXELS &&
        (first_row % 2 != 0 || (last_row % 2 != 0 && last_row != image->height)))
        return CGT_E_ROWS;
    return cgt_check_rows(first_row, last_row, image->height);
}

int cgt_check_tensor(const cgt_tensor *tensor, int width, int height, int channels) {
    if (!tensor || !tensor->data)
        return CGT_E_NULL;
    if (tensor->type != CGT_F32 && tensor->type != CGT_F16 && tensor->type != CGT_U8)
        return CGT_E_ENUM;
    if (tensor->layout == CGT_HWC)
        width *= channels;
    else if (tensor->layout != CGT_CHW)
        return CGT_E_ENUM;
    if (tensor->row_stride < width || tensor->row_stride > MAX_STRIDE)
        return CGT_E_STRIDE;
    if (tensor->layout == CGT_HWC || channels == 1)
        return CGT_OK;
    if (tensor->plane_stride < (height - 1) * tensor->row_stride + width ||
        tensor->plane_stride > PTRDIFF_MAX / 64)
        return CGT_E_STRIDE;
    return CGT_OK;
}

const char *cgt_strerror(int code) {
    switch (code) {
    case CGT_OK: return "success";
    case CGT_E_SIZE: return "a side is < 1 or > 32768, or sizes differ";
    case CGT_E_STRIDE: return "a stride is so short that rows or planes overlap";
    case CGT_E_CHANNELS: return "channels must be 1, 3 or 4; 3 or 4 to swap, 3 for YUV";
    case CGT_E_ENUM: return "unknown filter, format, matrix, type, layout or rounding";
    case CGT_E_MEMORY: return "out of memory";
    case CGT_E_NULL: return "a pointer is NULL";
    case CGT_E_BOX: return "the box is empty or extends outside the image";
    case CGT_E_PADDING: return "the padding is larger than the image that it reflects";
    case CGT_E_ROWS: return "rows must be 0 <= first_row <= last_row <= height, and even in a YUV image";
    case CGT_E_SCALE: return "scale and offset must be finite";
    case CGT_E_SIMD: return "CGT_SIMD names no instruction set of this CPU";
    case CGT_E_GUIDE: return "radius must be 1 to 64, eps 1e-6 to 1, detail 0 to 1";
    default: return "unknown error";
    }
}
