/* libFuzzer: the public functions with arguments that make sense, nearly do, or
 * do not. Whatever a call accepts it may touch: exactly that much is allocated. */
#include "cgt.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const uint8_t *data;
    size_t left;
} input;

static int byte(input *in) {
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->data++;
}

/* Mostly 1..96, sometimes anything. */
static int length(input *in) {
    const int b = byte(in);
    if (b < 248)
        return b % 96 + 1;
    return (int)((unsigned)byte(in) << 24 | (unsigned)byte(in) << 16 | (unsigned)byte(in) << 8);
}

static int one_of(input *in, int count) {
    const int b = byte(in);
    return b == 255 ? -1 : b == 254 ? count : b % count;
}

/* What a row needs, mostly; sometimes less, more or nonsense. */
static ptrdiff_t stride(input *in, ptrdiff_t row) {
    switch (byte(in) % 16) {
    case 0: return row - 1;
    case 1: return row + byte(in);
    case 2: return -row;
    case 3: return PTRDIFF_MAX - byte(in);
    default: return row;
    }
}

/* Memory for `rows` rows, none when that is too much or makes no sense. */
static uint8_t *rows_of(ptrdiff_t stride_, ptrdiff_t row, ptrdiff_t rows, size_t element) {
    if (stride_ < row || row < 1 || rows < 1 || stride_ > 1 << 20 || rows > 1 << 12)
        return NULL;
    const size_t bytes = (size_t)(stride_ * (rows - 1) + row) * element;
    uint8_t *memory = malloc(bytes);
    if (memory)
        memset(memory, 77, bytes);
    return memory;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    const int in_w = length(&in);
    const int in_h = length(&in);
    const int out_w = length(&in);
    const int out_h = length(&in);
    const int small = in_w < 512 && in_h < 512 && out_w < 512 && out_h < 512;
    float box[4];
    for (int i = 0; i < 4; i++)
        box[i] = (float)byte(&in) / 3.0f;
    if (byte(&in) == 9)
        box[0] = (float)byte(&in) * 1e30f * 1e30f;
    cgt_plan *plan = NULL;
    const cgt_filter filter = (cgt_filter)one_of(&in, 5);
    const int made = cgt_plan_create(&plan, in_w, in_h, out_w, out_h, filter,
                                     byte(&in) % 2 ? box : NULL);
    CHECK((made == CGT_OK) == (plan != NULL));
    if (!plan)
        return 0;
    if (!small) { /* valid, but more memory than a fuzzer should take */
        cgt_plan_destroy(plan);
        return 0;
    }
    const cgt_format format = (cgt_format)one_of(&in, 3);
    const int channels = one_of(&in, 5);
    cgt_image image = {in_w, in_h, channels, format, {NULL}, {0}, (cgt_matrix)one_of(&in, 2),
                       byte(&in) % 2};
    uint8_t *planes[3] = {NULL};
    const int half = (in_w + 1) / 2;
    const int widths[3][3] = {{in_w * channels, 0, 0}, {in_w, half * 2, 0}, {in_w, half, half}};
    for (int i = 0; (int)format >= 0 && (int)format < 3 && i < 3; i++) {
        if (widths[format][i] < 1)
            continue;
        image.stride[i] = stride(&in, widths[format][i]);
        planes[i] = rows_of(image.stride[i], widths[format][i], i ? (in_h + 1) / 2 : in_h, 1);
        image.plane[i] = planes[i];
        for (int k = 0; planes[i] && k < 8 && k < widths[format][i]; k++)
            planes[i][k] = (uint8_t)byte(&in);
    }
    const size_t room = cgt_scratch_size(plan, channels, format);
    void *scratch = room ? malloc(room) : NULL;
    const int first = byte(&in) % 8 ? 0 : byte(&in) - 4;
    const int last = byte(&in) % 8 ? out_h : byte(&in);

    const ptrdiff_t out_stride = stride(&in, (ptrdiff_t)out_w * channels);
    uint8_t *bytes = rows_of(out_stride, (ptrdiff_t)out_w * channels, out_h, 1);
    cgt_resize(plan, &image, bytes, out_stride, first, last, scratch);

    cgt_packing packing = CGT_PACKING;
    packing.swap_rb = byte(&in) % 2;
    packing.padded_width = byte(&in) % 4 ? 0 : length(&in);
    packing.padded_height = byte(&in) % 4 ? 0 : length(&in);
    packing.scale[0] = byte(&in) == 7 ? box[0] / 0.0f : 1.0f;
    cgt_tensor tensor = {NULL, (cgt_type)one_of(&in, 2), (cgt_layout)one_of(&in, 2), 0, 0};
    const int width = packing.padded_width ? packing.padded_width : out_w;
    const int height = packing.padded_height ? packing.padded_height : out_h;
    const int hwc = tensor.layout == CGT_HWC;
    if (width > 0 && width < 512 && height > 0 && height < 512 && channels > 0) {
        const ptrdiff_t row = hwc ? (ptrdiff_t)width * channels : width;
        tensor.row_stride = stride(&in, row);
        const ptrdiff_t plane = (height - 1) * (tensor.row_stride % (1 << 20)) + row;
        tensor.plane_stride = stride(&in, plane);
        tensor.data = hwc ? rows_of(tensor.row_stride, row, height, 4)
                          : rows_of(tensor.plane_stride, plane, channels, 4);
        if (tensor.row_stride < row || tensor.row_stride > 1 << 20) {
            free(tensor.data);
            tensor.data = NULL;
        }
    }
    cgt_pack(plan, &image, &tensor, &packing, first, last, scratch);
    if (width >= out_w && height >= out_h) /* else the tensor is too small, which it cannot know */
        cgt_unpack(&tensor, out_w, out_h, channels, packing.swap_rb, (cgt_rounding)one_of(&in, 2),
                   bytes, out_stride, first, last);

    free(tensor.data);
    free(bytes);
    free(scratch);
    for (int i = 0; i < 3; i++)
        free(planes[i]);
    cgt_plan_destroy(plan);
    return 0;
}
