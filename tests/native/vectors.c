/* Random calls of the public functions. Prints one line per call, with a hash of all
 * bytes of the destination. Every instruction set (CGT_SIMD) and architecture must
 * print the same. Buffers end at inaccessible pages, rows have gaps and odd addresses,
 * and scratch memory has exactly the required size. */
#include "cgt.h"
#include "support.h"

static const int CHANNELS[] = {1, 3, 4};
static const size_t ELEMENT_SIZE[] = {4, 2, 1}; /* by cgt_type */

typedef struct {
    cgt_image image;
    guarded planes[3];
} test_image;

static void test_image_new(test_image *p, int width, int height, int channels, cgt_format format) {
    memset(p, 0, sizeof *p);
    p->image.width = width;
    p->image.height = height;
    p->image.channels = channels;
    p->image.format = format;
    p->image.matrix = (cgt_matrix)random_between(0, 1);
    p->image.full_range = random_between(0, 1);
    const int half = (width + 1) / 2;
    const int widths[3][3] = {{width * channels, 0, 0}, {width, half * 2, 0}, {width, half, half}};
    for (int i = 0; i < 3; i++) {
        const int row = widths[format][i];
        if (row == 0)
            continue;
        const int rows = i == 0 ? height : (height + 1) / 2;
        const int stride = row + random_between(0, 1) * random_between(0, 70);
        p->planes[i] = guarded_new((size_t)stride * (size_t)(rows - 1) + (size_t)row);
        fill_random(p->planes[i].data, p->planes[i].size);
        p->image.plane[i] = p->planes[i].data;
        p->image.stride[i] = stride;
    }
}

static void test_image_free(test_image *p) {
    for (int i = 0; i < 3; i++)
        if (p->planes[i].data)
            guarded_free(&p->planes[i]);
}

static uint64_t hash_planes(const test_image *p) {
    uint64_t hash = 0;
    for (int i = 0; i < 3; i++)
        if (p->planes[i].data)
            hash = hash * 31 + fnv1a(p->planes[i].data, p->planes[i].size);
    return hash;
}

static void clear_planes(test_image *p) {
    for (int i = 0; i < 3; i++)
        if (p->planes[i].data)
            memset(p->planes[i].data, 0xa5, p->planes[i].size);
}

/* Unpack a tensor to YUV in two bands, and return the hash. `bytes` are the same pixels. */
static uint64_t run_yuv(const cgt_tensor *tensor, cgt_rounding rounding, const cgt_image *bytes) {
    test_image p;
    test_image_new(&p, bytes->width, bytes->height, 3, (cgt_format)random_between(1, 2));
    const int height = bytes->height;
    const int middle = random_between(0, height) / 2 * 2;
    clear_planes(&p);
    CHECK(cgt_unpack_yuv(tensor, 0, rounding, &p.image, middle, height) == CGT_OK);
    CHECK(cgt_unpack_yuv(tensor, 0, rounding, &p.image, 0, middle) == CGT_OK);
    const uint64_t hash = hash_planes(&p);
    clear_planes(&p);
    CHECK(cgt_rgb_to_yuv(bytes, &p.image, middle, height) == CGT_OK);
    CHECK(cgt_rgb_to_yuv(bytes, &p.image, 0, middle) == CGT_OK);
    CHECK(hash_planes(&p) == hash);
    test_image_free(&p);
    return hash;
}

/* Return a random side, usually a small one. */
static int random_side(void) {
    return random_between(0, 3) ? random_between(1, 40) : random_between(1, 230);
}

static void run_case(int number) {
    const int in_w = random_side();
    const int in_h = random_side();
    const int same_size = random_between(0, 7) == 0;
    const int out_w = same_size ? in_w : random_side();
    const int out_h = same_size ? in_h : random_side();
    const cgt_format format = (cgt_format)(random_between(0, 2) ? 0 : random_between(1, 2));
    const int channels = format == CGT_PIXELS ? CHANNELS[random_between(0, 2)] : 3;
    const cgt_filter filter = (cgt_filter)random_between(0, 4);
    const float left = (float)random_between(0, 4 * in_w - 2) / 4.0f;
    const float top = (float)random_between(0, 4 * in_h - 2) / 4.0f;
    const float box[4] = {left, top,
                          left + ((float)in_w - left) * (float)random_between(1, 4) / 4.0f,
                          top + ((float)in_h - top) * (float)random_between(1, 4) / 4.0f};
    cgt_plan *plan = NULL;
    const int use_box = !same_size && random_between(0, 2) == 0;
    CHECK(cgt_plan_create(&plan, in_w, in_h, out_w, out_h, filter, use_box ? box : NULL) == CGT_OK);
    test_image p;
    test_image_new(&p, in_w, in_h, channels, format);
    guarded scratch = guarded_new(cgt_scratch_size(plan, channels, format));
    fill_random(scratch.data, scratch.size);

    /* resize */
    const int stride = out_w * channels + random_between(0, 9);
    guarded bytes = guarded_new((size_t)stride * (size_t)(out_h - 1) + (size_t)(out_w * channels));
    memset(bytes.data, 0xa5, bytes.size);
    const int middle =
        random_between(0, out_h); /* two bands must give the same bytes as one call */
    CHECK(cgt_resize(plan, &p.image, bytes.data, stride, 0, middle, scratch.data) == CGT_OK);
    CHECK(cgt_resize(plan, &p.image, bytes.data, stride, middle, out_h, scratch.data) == CGT_OK);
    const uint64_t resized = fnv1a(bytes.data, bytes.size);
    CHECK(cgt_resize(plan, &p.image, bytes.data, stride, 0, out_h, scratch.data) == CGT_OK);
    CHECK(fnv1a(bytes.data, bytes.size) == resized);

    /* pack */
    cgt_packing packing = CGT_PACKING;
    packing.swap_rb = channels > 1 && random_between(0, 1);
    if (random_between(0, 1)) {
        packing.padded_width = out_w + random_between(0, out_w - 1);
        packing.padded_height = out_h + random_between(0, out_h - 1);
        packing.scale[1] = 0.0171f;
        packing.offset[2] = -2.1179f;
    }
    const int width = packing.padded_width ? packing.padded_width : out_w;
    const int height = packing.padded_height ? packing.padded_height : out_h;
    cgt_tensor tensor = {.type = (cgt_type)random_between(0, 2)};
    tensor.layout = (cgt_layout)random_between(0, 1);
    const int row = tensor.layout == CGT_CHW ? width : width * channels;
    tensor.row_stride = row + random_between(0, 1) * random_between(0, 5);
    tensor.plane_stride = tensor.row_stride * (height - 1) + row + random_between(0, 3);
    const size_t elements =
        (size_t)(tensor.layout == CGT_CHW ? tensor.plane_stride * (channels - 1) : 0) +
        (size_t)(tensor.row_stride * (height - 1) + row);
    guarded floats = guarded_new(elements * ELEMENT_SIZE[tensor.type]);
    memset(floats.data, 0xa5, floats.size);
    tensor.data = floats.data;
    CHECK(cgt_pack(plan, &p.image, &tensor, &packing, middle, out_h, scratch.data) == CGT_OK);
    CHECK(cgt_pack(plan, &p.image, &tensor, &packing, 0, middle, scratch.data) == CGT_OK);
    const uint64_t packed = fnv1a(floats.data, floats.size);
    CHECK(cgt_pack(plan, &p.image, &tensor, &packing, 0, out_h, scratch.data) == CGT_OK);
    CHECK(fnv1a(floats.data, floats.size) == packed);

    /* unpack the packed tensor with some random bytes in it */
    uint64_t unpacked = 0;
    if (tensor.layout == CGT_CHW && tensor.type != CGT_U8) {
        for (size_t i = 0; i < floats.size / 8; i++)
            floats.data[random_u32() % floats.size] = (uint8_t)random_u32();
        const cgt_rounding rounding = (cgt_rounding)random_between(0, 1);
        memset(bytes.data, 0xa5, bytes.size);
        CHECK(cgt_unpack(&tensor, out_w, out_h, channels, packing.swap_rb, rounding, bytes.data,
                         stride, 0, out_h) == CGT_OK);
        unpacked = fnv1a(bytes.data, bytes.size);
        if (channels == 3 && !packing.swap_rb) {
            const cgt_image rgb = {out_w, out_h, 3, CGT_PIXELS, {bytes.data}, {stride}, 0, 0};
            unpacked = unpacked * 31 + run_yuv(&tensor, rounding, &rgb);
        }
    }
    printf("%d: %dx%d to %dx%d, %d channels, format %d, filter %d: %016llx %016llx %016llx\n",
           number, in_w, in_h, out_w, out_h, channels, (int)format, (int)filter,
           (unsigned long long)resized, (unsigned long long)packed, (unsigned long long)unpacked);
    guarded_free(&floats);
    guarded_free(&bytes);
    guarded_free(&scratch);
    test_image_free(&p);
    cgt_plan_destroy(plan);
}

static void check_same_pixels(const cgt_image *a, const cgt_image *b) {
    const int half = (a->width + 1) / 2;
    const int widths[3][3] = {{a->width * 3, 0, 0}, {a->width, half * 2, 0}, {a->width, half, half}};
    for (int i = 0; i < 3; i++)
        for (int y = 0; widths[a->format][i] && y < (i ? (a->height + 1) / 2 : a->height); y++)
            CHECK(memcmp(a->plane[i] + y * a->stride[i], b->plane[i] + y * b->stride[i],
                         (size_t)widths[a->format][i]) == 0);
}

/* A small image in guarded memory: floats, half floats or bytes, with gaps between rows. */
static guarded small_image_new(cgt_tensor *t, int width, int height) {
    *t = (cgt_tensor){.type = (cgt_type)random_between(0, 2)};
    const int bytes = t->type == CGT_U8;
    const int row = bytes ? 3 * width : width;
    t->layout = bytes ? CGT_HWC : CGT_CHW;
    t->row_stride = row;
    if (random_between(0, 1))
        t->row_stride += random_between(0, 9);
    t->plane_stride = t->row_stride * (height - 1) + row + random_between(0, 3);
    const size_t elements = (size_t)(t->row_stride * (height - 1) + row) +
                            (bytes ? 0 : 2 * (size_t)t->plane_stride);
    guarded g = guarded_new(elements * ELEMENT_SIZE[t->type]);
    fill_random(g.data, g.size);
    if (t->type == CGT_F32)
        for (size_t i = 0; i < elements; i++)
            ((float *)(void *)g.data)[i] = (float)random_between(-1100, 1100) / 1000.0f;
    t->data = g.data;
    return g;
}

/* Guided upsampling between random sizes and formats, in two bands of rows. */
static void run_guide_case(int number) {
    /* One random number per statement: compilers evaluate arguments in any order. */
    const int width = random_side();
    const int height = random_side();
    const int src_format = random_between(0, 2);
    const int dst_format = random_between(0, 2);
    const int is_wide = random_between(0, 9) == 0;
    const int src_width = is_wide ? 1100 : random_side();
    const int src_height = random_side();
    test_image src;
    test_image dst;
    test_image_new(&src, src_width, src_height, 3, (cgt_format)src_format);
    test_image_new(&dst, src_width, src_height, 3, (cgt_format)dst_format);
    cgt_guide guide = {.width = width, .height = height};
    guide.method = (cgt_guidance)(random_between(0, 3) == 0);
    const int max_radius = random_between(0, 3) ? 6 : CGT_MAX_RADIUS;
    guide.radius = random_between(1, max_radius);
    guide.eps = random_between(0, 1) ? 1e-4f : 1e-6f;
    guide.detail = (float)random_between(0, 4) / 4.0f;
    if (src_format && dst_format && random_between(0, 3)) {
        guide.format = src.image.format;
        guide.matrix = dst.image.matrix = src.image.matrix;
        guide.full_range = dst.image.full_range = src.image.full_range;
    }
    guarded coefficients = guarded_new(cgt_guide_size(width, height));
    guide.coefficients = (int16_t *)(void *)coefficients.data;
    guarded scratch = guarded_new(cgt_guide_scratch_size(&guide));
    fill_random(coefficients.data, coefficients.size);
    fill_random(scratch.data, scratch.size);
    cgt_tensor tensors[2];
    guarded memory[2];
    for (int i = 0; i < 2; i++)
        memory[i] = small_image_new(&tensors[i], width, height);
    clear_planes(&dst);
    int middle = random_between(0, height);
    CHECK(cgt_guide_fit(&guide, &tensors[0], &tensors[1], middle, height, scratch.data) == CGT_OK);
    CHECK(cgt_guide_fit(&guide, &tensors[0], &tensors[1], 0, middle, scratch.data) == CGT_OK);
    middle = random_between(0, src.image.height) / 2 * 2;
    CHECK(cgt_guide_apply(&guide, &src.image, &dst.image, middle, src.image.height) == CGT_OK);
    CHECK(cgt_guide_apply(&guide, &src.image, &dst.image, 0, middle) == CGT_OK);
    const uint64_t hash = hash_planes(&dst);
    clear_planes(&dst);
    CHECK(cgt_guide_fit(&guide, &tensors[0], &tensors[1], 0, height, scratch.data) == CGT_OK);
    CHECK(cgt_guide_apply(&guide, &src.image, &dst.image, 0, src.image.height) == CGT_OK);
    CHECK(hash_planes(&dst) == hash);
    if (src_format == dst_format && src.image.matrix == dst.image.matrix &&
        src.image.full_range == dst.image.full_range) { /* the result may replace the source */
        CHECK(cgt_guide_apply(&guide, &src.image, &src.image, 0, src_height) == CGT_OK);
        check_same_pixels(&src.image, &dst.image);
    }
    printf("guide %d: %dx%d to %dx%d, method %d, radius %d, formats %d %d %d: %016llx\n", number,
           width, height, src.image.width, src.image.height, (int)guide.method, guide.radius,
           src_format, dst_format, (int)guide.format, (unsigned long long)hash);
    for (int i = 0; i < 2; i++)
        guarded_free(&memory[i]);
    guarded_free(&scratch);
    guarded_free(&coefficients);
    test_image_free(&src);
    test_image_free(&dst);
}

/* Rows longer than CGT_CHUNK_PIXELS, in which they are converted. */
static void run_wide(void) {
    test_image p;
    test_image_new(&p, 2501, 3, 3, CGT_I420);
    cgt_plan *plan = NULL;
    CHECK(cgt_plan_create(&plan, 2501, 3, 2501, 3, CGT_FILTER_BILINEAR, NULL) == CGT_OK);
    void *scratch = malloc(cgt_scratch_size(plan, 3, CGT_I420));
    guarded floats = guarded_new(sizeof(float) * 3 * 2501 * 3);
    guarded bytes = guarded_new(3 * 2501 * 3);
    const cgt_tensor tensor = {floats.data, CGT_F32, CGT_CHW, 2501, 2501 * 3};
    CHECK(cgt_pack(plan, &p.image, &tensor, NULL, 0, 3, scratch) == CGT_OK);
    CHECK(cgt_unpack(&tensor, 2501, 3, 3, 0, CGT_ROUND, bytes.data, 2501 * 3, 0, 3) == CGT_OK);
    printf("wide: %016llx\n", (unsigned long long)fnv1a(bytes.data, bytes.size));
    guarded again = guarded_new(3 * 2501 * 3);
    CHECK(cgt_resize(plan, &p.image, again.data, 2501 * 3, 0, 3, scratch) == CGT_OK);
    CHECK(memcmp(again.data, bytes.data, bytes.size) == 0); /* the round trip is lossless */
    test_image yuv; /* longer than a chunk */
    test_image_new(&yuv, 2501, 3, 3, CGT_NV12);
    const cgt_image rgb = {2501, 3, 3, CGT_PIXELS, {bytes.data}, {2501 * 3}, 0, 0};
    clear_planes(&yuv);
    CHECK(cgt_rgb_to_yuv(&rgb, &yuv.image, 0, 3) == CGT_OK);
    printf("wide: %016llx\n", (unsigned long long)hash_planes(&yuv));
    test_image_free(&yuv);
    guarded_free(&again);
    guarded_free(&bytes);
    guarded_free(&floats);
    free(scratch);
    test_image_free(&p);
    cgt_plan_destroy(plan);
}

/* So many samples per output that sums approach the limits of 32 bits. */
static void run_tall(void) {
    enum { LONG = 30000 };
    for (int filter = 0; filter < 5; filter++) {
        for (int transposed = 0; transposed < 2; transposed++) {
            const int in_w = transposed ? 3 : LONG;
            const int in_h = transposed ? LONG : 3;
            const int out = filter + 1;
            test_image p;
            test_image_new(&p, in_w, in_h, 1, CGT_PIXELS);
            memset(p.planes[0].data, 255, p.planes[0].size);
            cgt_plan *plan = NULL;
            CHECK(cgt_plan_create(&plan, in_w, in_h, out, out, (cgt_filter)filter, NULL) == CGT_OK);
            void *scratch = malloc(cgt_scratch_size(plan, 1, CGT_PIXELS));
            uint8_t bytes[25];
            float floats[25];
            const cgt_tensor tensor = {floats, CGT_F32, CGT_CHW, out, out * out};
            CHECK(cgt_resize(plan, &p.image, bytes, out, 0, out, scratch) == CGT_OK);
            CHECK(cgt_pack(plan, &p.image, &tensor, NULL, 0, out, scratch) == CGT_OK);
            for (int i = 0; i < out * out; i++)
                CHECK(bytes[i] == 255 && floats[i] == 1.0f);
            free(scratch);
            test_image_free(&p);
            cgt_plan_destroy(plan);
        }
    }
}

int main(int argc, char **argv) {
    const int calls = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1000;
    fprintf(stderr, "%s\n", cgt_simd() ? cgt_simd() : "none");
    CHECK(cgt_simd());
    for (int i = 0; i < calls; i++)
        run_case(i);
    for (int i = 0; i < calls; i++)
        run_guide_case(i);
    run_wide();
    run_tall();
    return 0;
}
