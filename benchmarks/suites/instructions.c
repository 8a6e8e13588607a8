/* One call of a kernel, for callgrind to count; see instructions.py. */
#include <stdlib.h>
#include <string.h>

#include "cgt.h"

enum { WIDTH = 1280, HEIGHT = 720, SIDE = 256, LARGE = 512 };

static uint8_t pixels[WIDTH * HEIGHT * 3];
static uint8_t bytes[LARGE * LARGE * 3];
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
    return 2;
}
