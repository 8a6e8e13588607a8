/* Error codes of the public functions for invalid arguments. */
#include <math.h>

#include "cgt.h"
#include "support.h"

static uint8_t pixels[16 * 16 * 4];
static uint8_t bytes[16 * 16 * 4];
static float floats[4 * 32 * 32];
static char scratch[1 << 20];
static cgt_plan *plan;

static const cgt_image IMAGE = {8, 6, 3, CGT_PIXELS, {pixels}, {24}, CGT_BT601, 0};
static const cgt_image NV12 = {8, 6, 3, CGT_NV12, {pixels, pixels}, {8, 8}, CGT_BT601, 0};
static const cgt_image I420 = {
    8, 6, 3, CGT_I420, {pixels, pixels, pixels}, {8, 4, 4}, CGT_BT601, 0};
static const cgt_tensor TENSOR = {floats, CGT_F32, CGT_CHW, 4, 20};
static const cgt_packing PACKING = CGT_PACKING;

static int create(int in_w, int in_h, int out_w, int out_h, int filter, const float *box) {
    cgt_plan *created = NULL;
    const int rc = cgt_plan_create(&created, in_w, in_h, out_w, out_h, (cgt_filter)filter, box);
    CHECK((rc == CGT_OK) == (created != NULL));
    cgt_plan_destroy(created);
    return rc;
}

static int resize(cgt_image image) {
    return cgt_resize(plan, &image, bytes, 12, 0, 5, scratch);
}

static int pack(cgt_tensor tensor, cgt_packing packing) {
    return cgt_pack(plan, &IMAGE, &tensor, &packing, 0, 5, scratch);
}

static int unpack(cgt_tensor tensor, int width, int height, int channels, int swap, int rounding) {
    return cgt_unpack(&tensor, width, height, channels, swap, (cgt_rounding)rounding, bytes, 16, 0,
                      height);
}

static void test_plans(void) {
    CHECK(cgt_plan_create(NULL, 8, 6, 4, 5, CGT_FILTER_BOX, NULL) == CGT_E_NULL);
    CHECK(create(0, 6, 4, 5, 0, NULL) == CGT_E_SIZE);
    CHECK(create(8, 6, -4, 5, 0, NULL) == CGT_E_SIZE);
    CHECK(create(8, 6, 4, CGT_MAX_SIDE + 1, 0, NULL) == CGT_E_SIZE);
    CHECK(create(8, 6, 4, 5, 5, NULL) == CGT_E_ENUM);
    CHECK(create(8, 6, 4, 5, -1, NULL) == CGT_E_ENUM);
    const float boxes[][4] = {{-1, 0, 8, 6}, {0, 0, 8.5f, 6}, {4, 0, 4, 6},
                              {0, 3, 8, 2},  {NAN, 0, 8, 6},  {0, 0, INFINITY, 6}};
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++)
        CHECK(create(8, 6, 4, 5, 0, boxes[i]) == CGT_E_BOX);
    CHECK(create(CGT_MAX_SIDE, 1, 1, CGT_MAX_SIDE, CGT_FILTER_LANCZOS, NULL) == CGT_OK);
    cgt_plan_destroy(NULL);
    CHECK(cgt_scratch_size(NULL, 3, CGT_PIXELS) == 0);
    CHECK(cgt_scratch_size(plan, 2, CGT_PIXELS) == 0);
    CHECK(cgt_scratch_size(plan, 3, (cgt_format)3) == 0);
    CHECK(cgt_scratch_size(plan, 3, CGT_I420) > 0);
    CHECK(cgt_scratch_size(plan, 3, CGT_I420) <= sizeof scratch);
}

static void test_images(void) {
    CHECK(resize(IMAGE) == CGT_OK);
    CHECK(resize(NV12) == CGT_OK);
    CHECK(resize(I420) == CGT_OK);
    CHECK(cgt_resize(NULL, &IMAGE, bytes, 12, 0, 5, scratch) == CGT_E_NULL);
    CHECK(cgt_resize(plan, NULL, bytes, 12, 0, 5, scratch) == CGT_E_NULL);
    CHECK(cgt_resize(plan, &IMAGE, NULL, 12, 0, 5, scratch) == CGT_E_NULL);
    CHECK(cgt_resize(plan, &IMAGE, bytes, 12, 0, 5, NULL) == CGT_E_NULL);
    CHECK(cgt_resize(plan, &IMAGE, bytes, 11, 0, 5, scratch) == CGT_E_STRIDE);
    CHECK(cgt_resize(plan, &IMAGE, bytes, -12, 0, 5, scratch) == CGT_E_STRIDE);
    CHECK(cgt_resize(plan, &IMAGE, bytes, PTRDIFF_MAX, 0, 5, scratch) == CGT_E_STRIDE);
    CHECK(cgt_resize(plan, &IMAGE, bytes, 12, -1, 5, scratch) == CGT_E_ROWS);
    CHECK(cgt_resize(plan, &IMAGE, bytes, 12, 3, 2, scratch) == CGT_E_ROWS);
    CHECK(cgt_resize(plan, &IMAGE, bytes, 12, 0, 6, scratch) == CGT_E_ROWS);
    cgt_image image = IMAGE;
    image.width = 7;
    CHECK(resize(image) == CGT_E_SIZE);
    image = IMAGE;
    image.channels = 2;
    CHECK(resize(image) == CGT_E_CHANNELS);
    image = IMAGE;
    image.plane[0] = NULL;
    CHECK(resize(image) == CGT_E_NULL);
    image = IMAGE;
    image.stride[0] = 23;
    CHECK(resize(image) == CGT_E_STRIDE);
    image = IMAGE;
    image.format = (cgt_format)3;
    CHECK(resize(image) == CGT_E_ENUM);
    image = NV12;
    image.channels = 4;
    CHECK(resize(image) == CGT_E_CHANNELS);
    image = NV12;
    image.stride[1] = 7;
    CHECK(resize(image) == CGT_E_STRIDE);
    image = NV12;
    image.matrix = (cgt_matrix)2;
    CHECK(resize(image) == CGT_E_ENUM);
    image = I420;
    image.plane[2] = NULL;
    CHECK(resize(image) == CGT_E_NULL);
}

static void test_tensors(void) {
    CHECK(pack(TENSOR, PACKING) == CGT_OK);
    CHECK(cgt_pack(plan, &IMAGE, NULL, NULL, 0, 5, scratch) == CGT_E_NULL);
    CHECK(cgt_pack(plan, &IMAGE, &TENSOR, NULL, 0, 5, NULL) == CGT_E_NULL);
    CHECK(cgt_pack(plan, &IMAGE, &TENSOR, NULL, 0, 9, scratch) == CGT_E_ROWS);
    cgt_tensor tensor = TENSOR;
    tensor.data = NULL;
    CHECK(pack(tensor, PACKING) == CGT_E_NULL);
    tensor = TENSOR;
    tensor.row_stride = 3;
    CHECK(pack(tensor, PACKING) == CGT_E_STRIDE);
    tensor = TENSOR;
    tensor.plane_stride = 19;
    CHECK(pack(tensor, PACKING) == CGT_E_STRIDE);
    tensor.plane_stride = PTRDIFF_MAX;
    CHECK(pack(tensor, PACKING) == CGT_E_STRIDE);
    tensor = TENSOR;
    tensor.layout = CGT_HWC;
    CHECK(pack(tensor, PACKING) == CGT_E_STRIDE);
    tensor.layout = (cgt_layout)2;
    CHECK(pack(tensor, PACKING) == CGT_E_ENUM);
    tensor = TENSOR;
    tensor.type = (cgt_type)3;
    CHECK(pack(tensor, PACKING) == CGT_E_ENUM);

    cgt_packing packing = PACKING;
    packing.scale[2] = INFINITY;
    CHECK(pack(TENSOR, packing) == CGT_E_SCALE);
    packing = PACKING;
    packing.offset[0] = NAN;
    CHECK(pack(TENSOR, packing) == CGT_E_SCALE);
    packing = PACKING;
    packing.padded_width = 3;
    CHECK(pack(TENSOR, packing) == CGT_E_SIZE);
    packing.padded_width = 8;
    CHECK(pack(TENSOR, packing) == CGT_E_PADDING);
    packing.padded_width = 7;
    CHECK(pack(TENSOR, packing) == CGT_E_STRIDE);
    cgt_image gray = {8, 6, 1, CGT_PIXELS, {pixels}, {8}, CGT_BT601, 0};
    packing = PACKING;
    packing.swap_rb = 1;
    CHECK(cgt_pack(plan, &gray, &TENSOR, &packing, 0, 5, scratch) == CGT_E_CHANNELS);

    CHECK(unpack(TENSOR, 4, 5, 3, 0, 0) == CGT_OK);
    CHECK(unpack(TENSOR, 0, 5, 3, 0, 0) == CGT_E_SIZE);
    CHECK(unpack(TENSOR, 4, CGT_MAX_SIDE + 1, 3, 0, 0) == CGT_E_SIZE);
    CHECK(unpack(TENSOR, 4, 5, 2, 0, 0) == CGT_E_CHANNELS);
    CHECK(unpack(TENSOR, 4, 5, 1, 1, 0) == CGT_E_CHANNELS);
    CHECK(unpack(TENSOR, 4, 5, 3, 0, 2) == CGT_E_ENUM);
    CHECK(unpack(TENSOR, 4, 6, 3, 0, 0) == CGT_E_STRIDE);
    tensor = TENSOR;
    tensor.layout = CGT_HWC;
    tensor.row_stride = 12;
    CHECK(unpack(tensor, 4, 5, 3, 0, 0) == CGT_E_ENUM);
}

static void test_yuv(void) {
    const cgt_image rgb = {8, 6, 3, CGT_PIXELS, {pixels}, {24}, CGT_BT601, 0};
    const cgt_image out = {8, 6, 3, CGT_I420, {bytes, bytes + 64, bytes + 96}, {8, 4, 4}, 0, 0};
    const cgt_tensor tensor = {floats, CGT_F32, CGT_CHW, 8, 48};
    CHECK(cgt_rgb_to_yuv(&rgb, &out, 0, 6) == CGT_OK);
    CHECK(cgt_unpack_yuv(&tensor, 1, CGT_ROUND, &out, 2, 4) == CGT_OK);
    CHECK(cgt_rgb_to_yuv(NULL, &out, 0, 6) == CGT_E_NULL);
    CHECK(cgt_rgb_to_yuv(&rgb, NULL, 0, 6) == CGT_E_NULL);
    CHECK(cgt_unpack_yuv(NULL, 0, CGT_ROUND, &out, 0, 6) == CGT_E_NULL);
    CHECK(cgt_unpack_yuv(&tensor, 0, CGT_ROUND, NULL, 0, 6) == CGT_E_NULL);
    CHECK(cgt_rgb_to_yuv(&out, &out, 0, 6) == CGT_E_ENUM);
    CHECK(cgt_rgb_to_yuv(&rgb, &rgb, 0, 6) == CGT_E_ENUM);
    CHECK(cgt_unpack_yuv(&tensor, 0, CGT_ROUND, &rgb, 0, 6) == CGT_E_ENUM);
    CHECK(cgt_unpack_yuv(&tensor, 0, (cgt_rounding)2, &out, 0, 6) == CGT_E_ENUM);
    CHECK(cgt_rgb_to_yuv(&rgb, &out, 1, 6) == CGT_E_ROWS);
    CHECK(cgt_rgb_to_yuv(&rgb, &out, 0, 3) == CGT_E_ROWS);
    CHECK(cgt_rgb_to_yuv(&rgb, &out, 0, 8) == CGT_E_ROWS);
    CHECK(cgt_unpack_yuv(&tensor, 0, CGT_ROUND, &out, 0, 5) == CGT_E_ROWS);
    cgt_image image = out;
    image.height = 5;
    CHECK(cgt_rgb_to_yuv(&rgb, &image, 0, 5) == CGT_E_SIZE);
    CHECK(cgt_unpack_yuv(&tensor, 0, CGT_ROUND, &image, 0, 5) == CGT_OK);
    image = out;
    image.width = CGT_MAX_SIDE + 1;
    CHECK(cgt_unpack_yuv(&tensor, 0, CGT_ROUND, &image, 0, 6) == CGT_E_SIZE);
    image = rgb;
    image.channels = 4;
    image.stride[0] = 32;
    CHECK(cgt_rgb_to_yuv(&image, &out, 0, 6) == CGT_E_CHANNELS);
    cgt_tensor narrow = tensor;
    narrow.row_stride = 7;
    CHECK(cgt_unpack_yuv(&narrow, 0, CGT_ROUND, &out, 0, 6) == CGT_E_STRIDE);
    narrow.layout = CGT_HWC;
    narrow.row_stride = 24;
    CHECK(cgt_unpack_yuv(&narrow, 0, CGT_ROUND, &out, 0, 6) == CGT_E_ENUM);
}

static int fit(cgt_guide guide, cgt_tensor input, cgt_tensor output) {
    return cgt_guide_fit(&guide, &input, &output, 0, 5, scratch);
}

static int apply(cgt_guide guide, cgt_image src, cgt_image dst) {
    return cgt_guide_apply(&guide, &src, &dst, 0, 6);
}

static void test_guides(void) {
    static int16_t coefficients[5 * 12 * 128];
    const cgt_guide guide = {4,  5, CGT_GUIDED,  2, 1e-4f, 1.0f, CGT_PIXELS, CGT_BT601,
                             0,  coefficients};
    const cgt_tensor tensor = {floats, CGT_F32, CGT_CHW, 4, 20};
    const cgt_tensor small = {pixels, CGT_U8, CGT_HWC, 12, 0};
    const cgt_image out = {8, 6, 3, CGT_PIXELS, {bytes}, {24}, CGT_BT601, 0};
    const cgt_image yuv = {8, 6, 3, CGT_NV12, {bytes, bytes + 64}, {8, 8}, CGT_BT601, 0};
    CHECK(cgt_guide_size(4, 5) <= sizeof coefficients);
    CHECK(cgt_guide_size(0, 5) == 0);
    CHECK(cgt_guide_size(4, CGT_MAX_SIDE + 1) == 0);
    CHECK(cgt_guide_scratch_size(&guide) > 0);
    CHECK(cgt_guide_scratch_size(&guide) <= sizeof scratch);
    CHECK(cgt_guide_scratch_size(NULL) == 0);
    CHECK(fit(guide, tensor, small) == CGT_OK);
    CHECK(fit(guide, small, tensor) == CGT_OK);
    CHECK(apply(guide, IMAGE, out) == CGT_OK);
    CHECK(apply(guide, NV12, out) == CGT_OK);
    CHECK(apply(guide, IMAGE, yuv) == CGT_OK);
    CHECK(cgt_guide_fit(NULL, &tensor, &tensor, 0, 5, scratch) == CGT_E_NULL);
    CHECK(cgt_guide_fit(&guide, NULL, &tensor, 0, 5, scratch) == CGT_E_NULL);
    CHECK(cgt_guide_fit(&guide, &tensor, NULL, 0, 5, scratch) == CGT_E_NULL);
    CHECK(cgt_guide_fit(&guide, &tensor, &tensor, 0, 5, NULL) == CGT_E_NULL);
    CHECK(cgt_guide_fit(&guide, &tensor, &tensor, 2, 1, scratch) == CGT_E_ROWS);
    CHECK(cgt_guide_fit(&guide, &tensor, &tensor, 0, 6, scratch) == CGT_E_ROWS);
    CHECK(cgt_guide_apply(NULL, &IMAGE, &out, 0, 6) == CGT_E_NULL);
    CHECK(cgt_guide_apply(&guide, NULL, &out, 0, 6) == CGT_E_NULL);
    CHECK(cgt_guide_apply(&guide, &IMAGE, NULL, 0, 6) == CGT_E_NULL);
    CHECK(cgt_guide_apply(&guide, &IMAGE, &out, 1, 7) == CGT_E_ROWS);
    CHECK(cgt_guide_apply(&guide, &IMAGE, &yuv, 1, 6) == CGT_E_ROWS);

    cgt_guide g = guide;
    g.coefficients = NULL;
    CHECK(fit(g, tensor, tensor) == CGT_E_NULL);
    CHECK(apply(g, IMAGE, out) == CGT_E_NULL);
    CHECK(cgt_guide_scratch_size(&g) > 0);
    g = guide;
    g.width = 0;
    CHECK(fit(g, tensor, tensor) == CGT_E_SIZE);
    CHECK(cgt_guide_scratch_size(&g) == 0);
    g = guide;
    g.method = (cgt_guidance)2;
    CHECK(fit(g, tensor, tensor) == CGT_E_ENUM);
    g = guide;
    g.format = (cgt_format)3;
    CHECK(fit(g, tensor, tensor) == CGT_E_ENUM);
    g.format = CGT_I420;
    CHECK(apply(g, IMAGE, yuv) == CGT_E_ENUM); /* not all YUV */
    CHECK(apply(g, NV12, out) == CGT_E_ENUM);
    CHECK(apply(g, NV12, yuv) == CGT_OK);
    g.matrix = CGT_BT709;
    CHECK(apply(g, NV12, yuv) == CGT_E_ENUM);
    g.matrix = (cgt_matrix)2;
    CHECK(fit(g, tensor, tensor) == CGT_E_ENUM);
    const int radii[] = {0, -1, CGT_MAX_RADIUS + 1};
    for (int i = 0; i < 3; i++) {
        g = guide;
        g.radius = radii[i];
        CHECK(fit(g, tensor, tensor) == CGT_E_GUIDE);
        g.method = CGT_DETAIL;
        CHECK(fit(g, tensor, tensor) == CGT_OK);
    }
    const float bad[] = {-1.0f, 2.0f, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        g = guide;
        g.eps = bad[i];
        CHECK(fit(g, tensor, tensor) == CGT_E_GUIDE);
        g = guide;
        g.detail = bad[i];
        CHECK(fit(g, tensor, tensor) == CGT_E_GUIDE);
    }

    cgt_tensor t = tensor;
    t.row_stride = 3;
    CHECK(fit(guide, t, tensor) == CGT_E_STRIDE);
    CHECK(fit(guide, tensor, t) == CGT_E_STRIDE);
    t = tensor;
    t.type = CGT_U8; /* planar bytes */
    CHECK(fit(guide, t, tensor) == CGT_E_ENUM);
    t = small;
    t.type = CGT_F32;
    CHECK(fit(guide, tensor, t) == CGT_E_ENUM);
    cgt_image image = out;
    image.width = 7;
    CHECK(apply(guide, IMAGE, image) == CGT_E_SIZE);
    image = out;
    image.channels = 4;
    image.stride[0] = 32;
    CHECK(apply(guide, IMAGE, image) == CGT_E_CHANNELS);
    CHECK(unpack(small, 4, 5, 3, 0, 0) == CGT_E_ENUM);
}

int main(void) {
    CHECK(cgt_plan_create(&plan, 8, 6, 4, 5, CGT_FILTER_BILINEAR, NULL) == CGT_OK);
    test_plans();
    test_images();
    test_tensors();
    test_yuv();
    test_guides();
    for (int code = 0; code >= CGT_E_GUIDE; code--)
        CHECK(strcmp(cgt_strerror(code), "unknown error") != 0);
    CHECK(strcmp(cgt_strerror(1), "unknown error") == 0);
    cgt_plan_destroy(plan);
    return 0;
}
