/* shrink IN.ppm OUT.ppm: resize an image to 256x256 by packing it to a tensor and unpacking that.
 *   cc shrink.c $(pkg-config --cflags --libs cgt) -o shrink */
#include <cgt.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    enum { SIDE = 256 };
    int width, height;
    FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (!in || fscanf(in, "P6 %d %d 255", &width, &height) != 2 || fgetc(in) == EOF)
        return fprintf(stderr, "usage: shrink IN.ppm OUT.ppm (binary, 8 bits)\n"), 2;

    cgt_plan *plan; /* once per stream */
    int rc = cgt_plan_create(&plan, width, height, SIDE, SIDE, CGT_FILTER_BILINEAR, NULL);
    if (rc != CGT_OK)
        return fprintf(stderr, "%s\n", cgt_strerror(rc)), 1;
    void *scratch = malloc(cgt_scratch_size(plan, 3, CGT_PIXELS));
    uint8_t *pixels = malloc((size_t)width * (size_t)height * 3);
    static float floats[3 * SIDE * SIDE];
    static uint8_t out[SIDE * SIDE * 3];
    if (!scratch || !pixels || fread(pixels, 3, (size_t)width * (size_t)height, in) == 0)
        return 1;
    fclose(in);

    const cgt_image image = {width, height, 3, CGT_PIXELS, {pixels}, {width * 3}, CGT_BT601, 0};
    const cgt_tensor tensor = {floats, CGT_F32, CGT_CHW, SIDE, SIDE * SIDE};
    rc = cgt_pack(plan, &image, &tensor, NULL, 0, SIDE, scratch); /* per frame */
    if (rc == CGT_OK)
        rc = cgt_unpack(&tensor, SIDE, SIDE, 3, 0, CGT_ROUND, out, SIDE * 3, 0, SIDE);
    FILE *file = fopen(argv[2], "wb");
    if (rc != CGT_OK || !file)
        return fprintf(stderr, "%s\n", rc ? cgt_strerror(rc) : "cannot write"), 1;
    fprintf(file, "P6 %d %d 255\n", SIDE, SIDE);
    fwrite(out, 1, sizeof out, file);
    fclose(file), free(pixels), free(scratch), cgt_plan_destroy(plan);
    return 0;
}
