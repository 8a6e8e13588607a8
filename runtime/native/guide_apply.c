/* Guided upsampling of an image. Columns are processed in chunks, in which rows of coefficients
 * are interpolated to full width once, and then vertically for each row of the image. */
#include "internal.h"

/* The two samples of the small image around a position of the large one, and the weight of the
 * second one times 2^15. The position is twice a coordinate in large pixels, whose centers are
 * odd. Both images have the same edges. Positions outside of the first and last center are
 * moved there. */
static int16_t locate(int64_t position, int64_t small, int64_t large, int32_t *first) {
    const int64_t scaled = position * small - large; /* of 2 * large */
    const int64_t unit = 2 * large;
    if (scaled <= 0) {
        *first = 0;
        return 0;
    }
    *first = (int32_t)(scaled / unit);
    if (*first >= small - 1) {
        *first = (int32_t)small - 1;
        return 0;
    }
    const int64_t weight = (scaled % unit * 32768 + large) / unit;
    return (int16_t)(weight < 32767 ? weight : 32767);
}

void cgt_interpolate_columns(cgt_interpolation *table, int x, size_t n, int step, int small,
                             int large) {
    table->n = n;
    table->is_dense_8 = table->is_dense_32 = 1;
    for (size_t i = 0; i < n; i++) {
        const int64_t position = ((int64_t)x + (int64_t)i) * 2 * step + step;
        table->weight[i] = locate(position, small, large, &table->first[i]);
        const int32_t in_8 = table->first[i] - table->first[i & ~(size_t)7];
        const int32_t in_32 = table->first[i] - table->first[i & ~(size_t)31];
        table->is_dense_8 &= in_8 < 8;
        table->is_dense_32 &= in_32 < 32;
        table->bytes[2 * i] = (uint8_t)(2 * in_8);
        table->bytes[2 * i + 1] = (uint8_t)(2 * in_8 + 1);
        table->words[i] = (uint16_t)in_32;
    }
    for (size_t i = n; i % 32 != 0; i++) { /* the rest of the last group */
        table->first[i] = table->first[i - 1];
        table->weight[i] = 0;
        table->words[i] = table->bytes[2 * i] = table->bytes[2 * i + 1] = 0;
    }
}

/* Two rows of `planes` planes of coefficients, interpolated to the chunk's columns. */
typedef struct {
    const cgt_kernels *kernels;
    const cgt_guide *guide;
    const cgt_interpolation *columns;
    int first_plane, planes;
    int row[2]; /* in each slot; -1 for none */
    int16_t *slot[2];
} row_pair;

/* Return the slot that holds a row, which replaces the row that is not `other`. */
static const int16_t *widen_row(row_pair *p, int row, int other) {
    if (p->row[0] == row || p->row[1] == row)
        return p->slot[p->row[1] == row];
    const int k = p->row[0] == other;
    const size_t stride = cgt_guide_stride(p->guide->width);
    const int16_t *in = p->guide->coefficients +
                        ((size_t)row * CGT_GUIDE_PLANES + (size_t)p->first_plane) * stride;
    for (int i = 0; i < p->planes; i++)
        p->kernels->interpolate(in + (size_t)i * stride, p->columns,
                                p->slot[k] + (size_t)i * CGT_GUIDE_CHUNK);
    p->row[k] = row;
    return p->slot[k];
}

/* Return the coefficients' rows at a vertical position, as of locate. */
static cgt_guide_rows rows_at(row_pair *p, int64_t position, int large) {
    int32_t first;
    cgt_guide_rows rows = {.plane = CGT_GUIDE_CHUNK};
    rows.weight = locate(position, p->guide->height, large, &first);
    const int next = first + 1 < p->guide->height ? first + 1 : first;
    rows.upper = widen_row(p, first, next);
    rows.lower = widen_row(p, next, first);
    return rows;
}

typedef struct {
    const cgt_kernels *kernels;
    const cgt_guide *guide;
    const cgt_image *src, *dst;
    int first_row, last_row;
} applier;

/* A row of a chunk of the source as red, green and blue. */
static void load_rgb(const applier *a, int x, size_t n, int y, uint8_t *const rgb[3]) {
    const cgt_image *src = a->src;
    if (src->format == CGT_PIXELS)
        a->kernels->split(src->plane[0] + y * src->stride[0] + (ptrdiff_t)x * 3, n, rgb);
    else
        cgt_yuv_row(a->kernels, src, x, n, y, rgb);
}

/* Process n columns from x on with coefficients in RGB. */
static void apply_rgb(const applier *a, int x, size_t n) {
    cgt_interpolation columns;
    cgt_interpolate_columns(&columns, x, n, 1, a->guide->width, a->src->width);
    int16_t slots[2][CGT_GUIDE_PLANES * CGT_GUIDE_CHUNK];
    row_pair pair = {a->kernels, a->guide, &columns, 0,
                     CGT_GUIDE_PLANES, {-1, -1}, {slots[0], slots[1]}};
    uint8_t bytes[2][3][CGT_GUIDE_CHUNK];
    const uint8_t *const rows[2][3] = {{bytes[0][0], bytes[0][1], bytes[0][2]},
                                       {bytes[1][0], bytes[1][1], bytes[1][2]}};
    const int yuv = a->dst->format != CGT_PIXELS;
    for (int y = a->first_row; y < a->last_row; y++) {
        const int k = yuv ? y % 2 : 0;
        uint8_t *const rgb[3] = {bytes[k][0], bytes[k][1], bytes[k][2]};
        load_rgb(a, x, n, y, rgb);
        const cgt_guide_rows coefficients = rows_at(&pair, 2 * (int64_t)y + 1, a->src->height);
        a->kernels->guide_apply[3](&coefficients, rows[k], n, rgb);
        if (!yuv)
            a->kernels->interleave[3](
                rows[k], n, a->dst->plane[0] + y * a->dst->stride[0] + (ptrdiff_t)x * 3);
        else if (k == 1 || y + 1 == a->src->height)
            cgt_write_yuv(a->kernels, rows, x, n, a->dst, y - k);
    }
}

/* What luma and chroma need of a chunk's pair of rows. */
typedef struct {
    uint8_t wide_u[CGT_GUIDE_CHUNK + 1], wide_v[CGT_GUIDE_CHUNK + 1]; /* each sample twice */
    uint8_t y[CGT_GUIDE_CHUNK], uv[2][CGT_GUIDE_CHUNK]; /* n / 2 samples, rounded up */
    const uint8_t *u, *v;
} chroma_rows;

static void load_chroma(const applier *a, int x, size_t n, int y, chroma_rows *c) {
    const cgt_image *src = a->src;
    const size_t half = (n + 1) / 2;
    const uint8_t *top = src->plane[0] + y * src->stride[0] + x;
    const uint8_t *bottom = y + 1 < src->height ? top + src->stride[0] : top;
    a->kernels->block_means(top, bottom, n, c->y);
    const uint8_t *second = src->plane[1] + y / 2 * src->stride[1];
    if (src->format == CGT_NV12) {
        a->kernels->split_pairs(second + x, half, c->uv[0], c->uv[1]);
        c->u = c->uv[0];
        c->v = c->uv[1];
    } else {
        c->u = second + x / 2;
        c->v = src->plane[2] + y / 2 * src->stride[2] + x / 2;
    }
    a->kernels->repeat(c->u, half, c->wide_u);
    a->kernels->repeat(c->v, half, c->wide_v);
}

/* Process n columns from x on with coefficients in YUV. */
static void apply_yuv(const applier *a, int x, size_t n) {
    const int height = a->src->height;
    const size_t half = (n + 1) / 2;
    cgt_interpolation luma_columns;
    cgt_interpolation chroma_columns;
    cgt_interpolate_columns(&luma_columns, x, n, 1, a->guide->width, a->src->width);
    cgt_interpolate_columns(&chroma_columns, x / 2, half, 2, a->guide->width, a->src->width);
    int16_t luma_slots[2][4 * CGT_GUIDE_CHUNK];
    int16_t chroma_slots[2][8 * CGT_GUIDE_CHUNK];
    row_pair luma = {a->kernels, a->guide, &luma_columns,
                     0,          4,        {-1, -1},      {luma_slots[0], luma_slots[1]}};
    row_pair chroma = {a->kernels, a->guide, &chroma_columns,
                       4,          8,        {-1, -1},        {chroma_slots[0], chroma_slots[1]}};
    chroma_rows c;
    uint8_t bytes[2][CGT_GUIDE_CHUNK];
    const int nv12 = a->dst->format == CGT_NV12;
    for (int y = a->first_row; y < a->last_row; y += 2) {
        load_chroma(a, x, n, y, &c);
        for (int i = 0; i < 2 && y + i < height; i++) {
            const cgt_guide_rows rows = rows_at(&luma, 2 * (int64_t)(y + i) + 1, height);
            const uint8_t *const in[3] = {a->src->plane[0] + (y + i) * a->src->stride[0] + x,
                                          c.wide_u, c.wide_v};
            uint8_t *const out[3] = {a->dst->plane[0] + (y + i) * a->dst->stride[0] + x, NULL,
                                     NULL};
            a->kernels->guide_apply[1](&rows, in, n, out);
        }
        const cgt_guide_rows rows = rows_at(&chroma, 2 * (int64_t)y + 2, height);
        const uint8_t *const in[3] = {c.y, c.u, c.v};
        uint8_t *second = a->dst->plane[1] + y / 2 * a->dst->stride[1];
        uint8_t *const out[3] = {
            nv12 ? bytes[0] : second + x / 2,
            nv12 ? bytes[1] : a->dst->plane[2] + y / 2 * a->dst->stride[2] + x / 2, NULL};
        a->kernels->guide_apply[2](&rows, in, half, out);
        if (nv12)
            a->kernels->join_pairs(bytes[0], bytes[1], half, second + x);
    }
}

static int is_in_space(const cgt_image *image, const cgt_guide *guide) {
    return image->format != CGT_PIXELS && image->matrix == guide->matrix &&
           (image->full_range != 0) == (guide->full_range != 0);
}

int cgt_guide_apply(const cgt_guide *guide, const cgt_image *src, const cgt_image *dst,
                    int first_row, int last_row) {
    int rc = cgt_check_guide(guide);
    if (rc == CGT_OK)
        rc = cgt_check_image(src);
    if (rc == CGT_OK)
        rc = cgt_check_image(dst);
    if (rc == CGT_OK && (src->channels != 3 || dst->channels != 3))
        rc = CGT_E_CHANNELS;
    if (rc == CGT_OK && (src->width != dst->width || src->height != dst->height))
        rc = CGT_E_SIZE;
    if (rc == CGT_OK && guide->format != CGT_PIXELS &&
        !(is_in_space(src, guide) && is_in_space(dst, guide)))
        rc = CGT_E_ENUM;
    if (rc == CGT_OK)
        rc = cgt_check_image_rows(dst, first_row, last_row);
    if (rc != CGT_OK)
        return rc;
    const applier a = {cgt_kernels_current(), guide, src, dst, first_row, last_row};
    if (!a.kernels)
        return CGT_E_SIMD;
    for (int x = 0; x < src->width; x += CGT_GUIDE_CHUNK) {
        const int left = src->width - x;
        const size_t n = (size_t)(left < CGT_GUIDE_CHUNK ? left : CGT_GUIDE_CHUNK);
        if (guide->format == CGT_PIXELS)
            apply_rgb(&a, x, n);
        else
            apply_yuv(&a, x, n);
    }
    return CGT_OK;
}
