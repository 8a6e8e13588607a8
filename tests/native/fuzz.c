/* libFuzzer target: the public functions with valid, nearly valid and invalid arguments.
 * The buffers have exactly the size that a successful call may access. */
#include "cgt.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const uint8_t *data;
    size_t left;
} input;

static int take_byte(input *in) {
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->data++;
}

/* Return a length: usually 1..96, sometimes any integer. */
static int take_length(input *in) {
    const int b = take_byte(in);
    if (b < 248)
        return b % 96 + 1;
    return (int)((unsigned)take_byte(in) << 24 | (unsigned)take_byte(in) << 16 |
                 (unsigned)take_byte(in) << 8);
}

static int take_enum(input *in, int count) {
    const int b = take_byte(in);
    return b == 255 ? -1 : b == 254 ? count : b % count;
}

/* Return a stride: usually the length of a row, sometimes smaller, larger or invalid. */
static ptrdiff_t take_stride(input *in, ptrdiff_t row) {
    switch (take_byte(in) % 16) {
    case 0: return row - 1;
    case 1: return row + take_byte(in);
    case 2: return -row;
    case 3: return PTRDIFF_MAX - take_byte(in);
    default: return row;
    }
}

/* Allocate memory for `rows` rows; return NULL if the size is too large or invalid. */
static uint8_t *allocate_rows(ptrdiff_t stride, ptrdiff_t row, ptrdiff_t rows, size_t element) {
    if (stride < row || row < 1 || rows < 1 || stride > 1 << 20 || rows > 1 << 12)
        return NULL;
    const size_t bytes = (size_t)(stride * (rows - 1) + row) * element;
    uint8_t *memory = malloc(bytes);
    if (memory)
        memset(memory, 77, bytes);
    return memory;
}

static cgt_image take_image(input *in, int width, int height, int channels, cgt_format format) {
    cgt_image image = {.width = width, .height = height, .channels = channels, .format = format};
    image.matrix = (cgt_matrix)take_enum(in, 2);
    image.full_range = take_byte(in) % 2;
    const int half = (width + 1) / 2;
    const int widths[3][3] = {{width * channels, 0, 0}, {width, half * 2, 0}, {width, half, half}};
    for (int i = 0; (int)format >= 0 && (int)format < 3 && i < 3; i++) {
        const int row = widths[format][i];
        if (row < 1)
            continue;
        image.stride[i] = take_stride(in, row);
        image.plane[i] = allocate_rows(image.stride[i], row, i ? (height + 1) / 2 : height, 1);
        for (int k = 0; image.plane[i] && k < 8 && k < row; k++)
            image.plane[i][k] = (uint8_t)take_byte(in);
    }
    return image;
}

static void free_image(cgt_image *image) {
    for (int i = 0; i < 3; i++)
        free(image->plane[i]);
}

/* A small image, or one without memory if its strides are invalid. */
static cgt_tensor take_small_image(input *in, int width, int height) {
    cgt_tensor t = {NULL, (cgt_type)take_enum(in, 3), (cgt_layout)take_enum(in, 2), 0, 0};
    const ptrdiff_t row = t.layout == CGT_HWC ? 3 * (ptrdiff_t)width : width;
    t.row_stride = take_stride(in, row);
    const ptrdiff_t plane = (height - 1) * (t.row_stride % (1 << 20)) + row;
    t.plane_stride = take_stride(in, plane);
    if (t.row_stride >= row && t.row_stride <= 1 << 20)
        t.data = t.layout == CGT_HWC ? allocate_rows(t.row_stride, row, height, 4)
                                     : allocate_rows(t.plane_stride, plane, 3, 4);
    for (int i = 0; t.data && i < 8 && i < row; i++)
        ((uint8_t *)t.data)[i] = (uint8_t)take_byte(in);
    return t;
}

static void fuzz_guide(input *in, const cgt_image *src, int width, int height) {
    cgt_guide guide = {.width = width, .height = height};
    guide.method = (cgt_guidance)take_enum(in, 2);
    guide.radius = take_byte(in) % 16 ? take_byte(in) % 9 : take_length(in);
    guide.eps = (float)take_byte(in) / 250.0f;
    guide.detail = (float)take_byte(in) / 250.0f;
    guide.format = (cgt_format)take_enum(in, 3);
    guide.matrix = (cgt_matrix)take_enum(in, 2);
    guide.full_range = take_byte(in) % 2;
    guide.coefficients = malloc(cgt_guide_size(width, height));
    const size_t scratch_size = cgt_guide_scratch_size(&guide);
    void *scratch = scratch_size ? malloc(scratch_size) : NULL;
    cgt_tensor small[2];
    for (int i = 0; i < 2; i++)
        small[i] = take_small_image(in, width, height);
    const int first = take_byte(in) % 4 ? 0 : take_byte(in) - 4;
    const int last = take_byte(in) % 4 ? height : take_byte(in);
    const int rc = cgt_guide_fit(&guide, &small[0], &small[1], first, last, scratch);
    cgt_image dst = take_image(in, src->width, src->height, 3, (cgt_format)take_enum(in, 3));
    if (take_byte(in) % 2) {
        dst.matrix = guide.matrix;
        dst.full_range = guide.full_range;
    }
    if (rc == CGT_OK && first == 0 && last == height)
        cgt_guide_apply(&guide, src, &dst, take_byte(in) % 4 ? 0 : take_byte(in) - 4,
                        take_byte(in) % 4 ? src->height : take_byte(in));
    free_image(&dst);
    for (int i = 0; i < 2; i++)
        free(small[i].data);
    free(scratch);
    free(guide.coefficients);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    const int in_w = take_length(&in);
    const int in_h = take_length(&in);
    const int out_w = take_length(&in);
    const int out_h = take_length(&in);
    const int is_small = in_w < 512 && in_h < 512 && out_w < 512 && out_h < 512;
    float box[4];
    for (int i = 0; i < 4; i++)
        box[i] = (float)take_byte(&in) / 3.0f;
    if (take_byte(&in) == 9)
        box[0] = (float)take_byte(&in) * 1e30f * 1e30f;
    cgt_plan *plan = NULL;
    const cgt_filter filter = (cgt_filter)take_enum(&in, 5);
    const int rc =
        cgt_plan_create(&plan, in_w, in_h, out_w, out_h, filter, take_byte(&in) % 2 ? box : NULL);
    CHECK((rc == CGT_OK) == (plan != NULL));
    if (!plan)
        return 0;
    if (!is_small) { /* valid, but it needs too much memory for a fuzzer */
        cgt_plan_destroy(plan);
        return 0;
    }
    const cgt_format format = (cgt_format)take_enum(&in, 3);
    const int channels = take_enum(&in, 5);
    cgt_image image = take_image(&in, in_w, in_h, channels, format);
    const size_t scratch_size = cgt_scratch_size(plan, channels, format);
    void *scratch = scratch_size ? malloc(scratch_size) : NULL;
    const int first = take_byte(&in) % 8 ? 0 : take_byte(&in) - 4;
    const int last = take_byte(&in) % 8 ? out_h : take_byte(&in);

    const ptrdiff_t out_stride = take_stride(&in, (ptrdiff_t)out_w * channels);
    uint8_t *bytes = allocate_rows(out_stride, (ptrdiff_t)out_w * channels, out_h, 1);
    cgt_resize(plan, &image, bytes, out_stride, first, last, scratch);

    cgt_packing packing = CGT_PACKING;
    packing.swap_rb = take_byte(&in) % 2;
    packing.padded_width = take_byte(&in) % 4 ? 0 : take_length(&in);
    packing.padded_height = take_byte(&in) % 4 ? 0 : take_length(&in);
    packing.scale[0] = take_byte(&in) == 7 ? box[0] / 0.0f : 1.0f;
    cgt_tensor tensor = {NULL, (cgt_type)take_enum(&in, 3), (cgt_layout)take_enum(&in, 2), 0, 0};
    const int width = packing.padded_width ? packing.padded_width : out_w;
    const int height = packing.padded_height ? packing.padded_height : out_h;
    const int hwc = tensor.layout == CGT_HWC;
    if (width > 0 && width < 512 && height > 0 && height < 512 && channels > 0) {
        const ptrdiff_t row = hwc ? (ptrdiff_t)width * channels : width;
        tensor.row_stride = take_stride(&in, row);
        const ptrdiff_t plane = (height - 1) * (tensor.row_stride % (1 << 20)) + row;
        tensor.plane_stride = take_stride(&in, plane);
        tensor.data = hwc ? allocate_rows(tensor.row_stride, row, height, 4)
                          : allocate_rows(tensor.plane_stride, plane, channels, 4);
        if (tensor.row_stride < row || tensor.row_stride > 1 << 20) {
            free(tensor.data);
            tensor.data = NULL;
        }
    }
    cgt_pack(plan, &image, &tensor, &packing, first, last, scratch);
    /* cgt_unpack cannot detect a tensor that is too small. */
    if (width >= out_w && height >= out_h) {
        const cgt_rounding rounding = (cgt_rounding)take_enum(&in, 2);
        cgt_unpack(&tensor, out_w, out_h, channels, packing.swap_rb, rounding, bytes, out_stride,
                   first, last);
        if (channels == 3) {
            cgt_image yuv = take_image(&in, out_w, out_h, 3, (cgt_format)take_enum(&in, 3));
            cgt_unpack_yuv(&tensor, packing.swap_rb, rounding, &yuv, first, last);
            free_image(&yuv);
        }
    }
    cgt_image yuv = take_image(&in, in_w, take_byte(&in) % 16 ? in_h : 1, 3,
                               (cgt_format)take_enum(&in, 3));
    cgt_rgb_to_yuv(&image, &yuv, first, take_byte(&in) % 2 ? in_h : last);
    free_image(&yuv);
    fuzz_guide(&in, &image, out_w, out_h);

    free(tensor.data);
    free(bytes);
    free(scratch);
    free_image(&image);
    cgt_plan_destroy(plan);
    return 0;
}
