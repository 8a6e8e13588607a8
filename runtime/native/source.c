/* Source rows as interleaved bytes, from an image of any format. */
#include "internal.h"

/* Fixed-point coefficients in the order black, Y, V to R, U to G, V to G, U to B:
 * Y times 2^13, the others times 2^12; see yuv_to_rgb_tail. They follow from Kr
 * and Kb (ITU-R BT.601, BT.709) and, for the limited range, from 255 / 219 and
 * 255 / 224. */
static const int16_t COEFFICIENTS[2][2][6] = {
    [CGT_BT601] = {{16, 9539, 6537, -1605, -3330, 8263}, {0, 8192, 5743, -1410, -2925, 7258}},
    [CGT_BT709] = {{16, 9539, 7343, -873, -2183, 8652}, {0, 8192, 6450, -767, -1917, 7601}},
};

/* A chroma sample covers two columns, so the ring may start one column early. */
static size_t ring_stride(const cgt_plan *plan) {
    return ((size_t)plan->x.span + 1) * 3;
}

size_t cgt_source_ring(const cgt_plan *plan, cgt_format format) {
    return format == CGT_PIXELS ? 0 : (size_t)plan->y.taps * ring_stride(plan);
}

void cgt_source_open(cgt_source *source, const cgt_kernels *kernels, const cgt_plan *plan,
                     const cgt_image *image, uint8_t *ring) {
    *source = (cgt_source){
        .kernels = kernels,
        .image = image,
        .x = plan->x.lo,
        .width = plan->x.span,
        .capacity = plan->y.taps,
        .ring_stride = ring_stride(plan),
        .ring = ring,
    };
}

void cgt_yuv_row(const cgt_kernels *kernels, const cgt_image *image, int x, size_t n, int row,
                 uint8_t *const rgb[3]) {
    const int nv12 = image->format == CGT_NV12;
    const int step = nv12 ? 2 : 1;
    const ptrdiff_t half = row / 2;
    const ptrdiff_t chroma = (ptrdiff_t)(x / 2) * step;
    const uint8_t *y = image->plane[0] + row * image->stride[0] + x;
    const uint8_t *u = image->plane[1] + half * image->stride[1] + chroma;
    const uint8_t *v = nv12 ? u + 1 : image->plane[2] + half * image->stride[2] + chroma;
    kernels->yuv_to_rgb(y, u, v, step, n, COEFFICIENTS[image->matrix][image->full_range != 0],
                        rgb);
}

static void convert_row(const cgt_source *s, int row, uint8_t *out) {
    const int end = s->x + s->width;
    for (int x = s->x & ~1; x < end; x += CGT_CHUNK_PIXELS) {
        uint8_t planes[3][CGT_CHUNK_PIXELS];
        uint8_t *const rgb[3] = {planes[0], planes[1], planes[2]};
        const uint8_t *const all[3] = {planes[0], planes[1], planes[2]};
        const size_t n = (size_t)(end - x < CGT_CHUNK_PIXELS ? end - x : CGT_CHUNK_PIXELS);
        cgt_yuv_row(s->kernels, s->image, x, n, row, rgb);
        s->kernels->interleave[3](all, n, out);
        out += 3 * n;
    }
}

const uint8_t *cgt_source_row(cgt_source *s, int row) {
    const cgt_image *image = s->image;
    if (image->format == CGT_PIXELS)
        return image->plane[0] + row * image->stride[0] + (ptrdiff_t)s->x * image->channels;
    uint8_t *slot = s->ring + (size_t)(row % s->capacity) * s->ring_stride;
    if (row >= s->next) {
        convert_row(s, row, slot);
        s->next = row + 1;
    }
    return slot + (ptrdiff_t)(s->x & 1) * 3;
}
