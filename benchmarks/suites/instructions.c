/* One call of a kernel, for callgrind to count; see instructions.py. */
#include <stdlib.h>
#include <string.h>

#include "cgt.h"

enum { WIDTH = 1280, HEIGHT = 720, SIDE = 256, LARGE = 512, SMALL_WIDTH = 456 };

static uint8_t pixels[WIDTH * HEIGHT * 3];
static uint8_t bytes[WIDTH * HEIGHT * 3];
static float floats[3 * LARGE * LARGE];

static int pack(int width, int height) {
    cgt_plan *plan = NULL;
    if (cgt_plan_create(&plan, width, height, SIDE, SIDE, CGT_FILTER_BILINEAR, NULL) != CGT_OK)
        return 1;
    void *scratch = malloc(cgt_scratch_size(plan, 3, CGT_PIXELS));
    const cgt_image image = {width, height, 3, CGT_PIXELS, {pixels}, {width * 3}, CGT_BT601, 0};
    const cgt_tensor tensor = {floats, CGT_F32, CGT_CHW, SIDE, SIDE * SIDE};
    const int rc = scratch ? cgt_pack(plan, &image, &tensor, NULL, 0, SIDE, scratch) : 1;
    free(scratch);
    cgt_plan_destroy(plan);
    return rc;
}

/* Fit from 456x256, and apply to 1280x720 if `format` is not negative. */
static int guide(int format) {
    cgt_guide guide = {SMALL_WIDTH, SIDE, CGT_GUIDED, 4, 1e-4f, 1.0f, CGT_PIXELS, CGT_BT601, 0, NULL};
    if (format > 0)
        guide.format = (cgt_format)format;
    guide.coefficients = calloc(cgt_guide_size(SMALL_WIDTH, SIDE), 1);
    void *scratch = malloc(cgt_guide_scratch_size(&guide));
    const cgt_tensor input = {floats, CGT_F32, CGT_CHW, SMALL_WIDTH, SMALL_WIDTH * SIDE};
    const cgt_tensor output = {floats + 999, CGT_F32, CGT_CHW, SMALL_WIDTH, SMALL_WIDTH * SIDE};
    int rc = guide.coefficients && scratch ? CGT_OK : 1;
    if (rc == CGT_OK && format < 0)
        rc = cgt_guide_fit(&guide, &input, &output, 0, SIDE, scratch);
    const ptrdiff_t y = (ptrdiff_t)WIDTH * HEIGHT;
    cgt_image src = {WIDTH, HEIGHT, 3, CGT_PIXELS, {pixels}, {WIDTH * 3}, CGT_BT601, 0};
    cgt_image dst = {WIDTH, HEIGHT, 3, CGT_PIXELS, {bytes}, {WIDTH * 3}, CGT_BT601, 0};
    const cgt_image yuv[2] = {
        {WIDTH, HEIGHT, 3, CGT_I420, {pixels, pixels + y, pixels + y * 5 / 4},
         {WIDTH, WIDTH / 2, WIDTH / 2}, CGT_BT601, 0},
        {WIDTH, HEIGHT, 3, CGT_I420, {bytes, bytes + y, bytes + y * 5 / 4},
         {WIDTH, WIDTH / 2, WIDTH / 2}, CGT_BT601, 0}};
    if (format > 0) {
        src = yuv[0];
        dst = yuv[1];
    }
    if (rc == CGT_OK && format >= 0)
        rc = cgt_guide_apply(&guide, &src, &dst, 0, HEIGHT);
    free(guide.coefficients);
    free(scratch);
    return rc;
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 7919 >> 3);
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++)
        floats[i] = (float)(i % 255) / 127.0f - 1.0f;
    const char *call = argc == 2 ? argv[1] : "";
    if (strcmp(call, "pack-720p") == 0)
        return pack(WIDTH, HEIGHT);
    if (strcmp(call, "pack-same") == 0)
        return pack(SIDE, SIDE);
    if (strcmp(call, "unpack-512") == 0) {
        const cgt_tensor tensor = {floats, CGT_F32, CGT_CHW, LARGE, LARGE * LARGE};
        return cgt_unpack(&tensor, LARGE, LARGE, 3, 0, CGT_ROUND, bytes, LARGE * 3, 0, LARGE);
    }
    if (strcmp(call, "unpack-yuv") == 0) {
        const cgt_tensor tensor = {floats, CGT_F32, CGT_CHW, LARGE, LARGE * LARGE};
        const cgt_image out = {LARGE, LARGE, 3, CGT_I420,
                               {bytes, bytes + LARGE * LARGE, bytes + LARGE * LARGE * 5 / 4},
                               {LARGE, LARGE / 2, LARGE / 2}, CGT_BT601, 0};
        return cgt_unpack_yuv(&tensor, 0, CGT_ROUND, &out, 0, LARGE);
    }
    if (strcmp(call, "guide-fit") == 0)
        return guide(-1);
    if (strcmp(call, "guide-rgb") == 0)
        return guide(CGT_PIXELS);
    if (strcmp(call, "guide-i420") == 0)
        return guide(CGT_I420);
    return 2;
}
