/* Resize of bytes to bytes, bit for bit as Pillow: with its weights and its order
 * of passes. Both passes round and clamp. */
#include <string.h>

#include "internal.h"

typedef struct {
    const cgt_kernels *kernels;
    const cgt_plan *plan;
    int channels;
    cgt_source source;
    cgt_scratch s;
    size_t row_bytes; /* of an output row in planes */
    int next;         /* horizontal first: the first row not yet in the ring */
} resizer;

/* Resize a row of interleaved bytes into planes of bytes. */
static void resize_horizontally(resizer *r, const uint8_t *in, uint8_t *out) {
    const cgt_axis *x = &r->plan->x;
    r->kernels->u8_to_i16(in, (size_t)x->span * (size_t)r->channels, r->s.column_sums);
    r->kernels->horizontal_pass[r->channels](x, x->high, r->s.column_sums, r->s.sums, r->s.plane);
    r->kernels->horizontal_pass[r->channels](x, x->low, r->s.column_sums, r->s.low_sums,
                                             r->s.plane);
    r->kernels->sums_to_u8(r->s.sums, r->s.low_sums, r->row_bytes, out);
}

/* Resize s.tap_rows into n bytes of output row o. */
static void resize_vertically(resizer *r, int o, size_t n, uint8_t *out) {
    const cgt_axis *y = &r->plan->y;
    r->kernels->vertical_pass_u8(r->s.tap_rows, y->count[o],
                                 y->weights32 + (size_t)o * (size_t)y->taps, n, out);
}

/* A ring keeps horizontally resized rows for all outputs that depend on them. */
static void horizontal_then_vertical(resizer *r, int o, uint8_t *out) {
    const cgt_axis *y = &r->plan->y;
    const int first = y->first[o];
    const int end = first + y->count[o];
    for (int i = first; i < end; i++) {
        uint8_t *slot = r->s.bytes + (size_t)(i % y->taps) * r->row_bytes;
        if (i >= r->next)
            resize_horizontally(r, cgt_source_row(&r->source, y->lo + i), slot);
        r->s.tap_rows[i - first] = slot;
    }
    r->next = end;
    resize_vertically(r, o, r->row_bytes, out);
}

static void vertical_then_horizontal(resizer *r, int o, uint8_t *out) {
    const cgt_axis *y = &r->plan->y;
    for (int k = 0; k < y->count[o]; k++)
        r->s.tap_rows[k] = cgt_source_row(&r->source, y->lo + y->first[o] + k);
    uint8_t *row = r->s.bytes;
    resize_vertically(r, o, (size_t)r->plan->x.span * (size_t)r->channels, row);
    resize_horizontally(r, row, out);
}

int cgt_resize(const cgt_plan *plan, const cgt_image *src, uint8_t *dst, ptrdiff_t dst_stride,
               int first_row, int last_row, void *scratch) {
    int rc = cgt_check_source(src, plan);
    if (rc == CGT_OK)
        rc = cgt_check_bytes(dst, plan->x.out, src->channels, dst_stride);
    if (rc == CGT_OK)
        rc = scratch ? cgt_check_rows(first_row, last_row, plan->y.out) : CGT_E_NULL;
    if (rc != CGT_OK)
        return rc;
    resizer r = {.kernels = cgt_kernels_current(), .plan = plan, .channels = src->channels};
    if (!r.kernels)
        return CGT_E_SIMD;
    r.s = cgt_scratch_layout(plan, src->channels, src->format, scratch);
    r.row_bytes = (size_t)src->channels * r.s.plane;
    cgt_scratch_clear(&r.s, src->channels);
    cgt_source_open(&r.source, r.kernels, plan, src, r.s.ring);

    const size_t width = (size_t)plan->x.out;
    /* The output row in planes; after it lies the ring, or the row of vertical_then_horizontal. */
    uint8_t *const output_row = r.s.bytes;
    r.s.bytes += r.row_bytes;
    const uint8_t *planes[4];
    for (int c = 0; c < src->channels; c++)
        planes[c] = output_row + (size_t)c * r.s.plane;
    for (int o = first_row; o < last_row; o++) {
        uint8_t *out = dst + o * dst_stride;
        if (plan->x.identity && plan->y.identity) {
            memcpy(out, cgt_source_row(&r.source, plan->y.lo + o), width * (size_t)src->channels);
            continue;
        }
        if (plan->vertical_first)
            vertical_then_horizontal(&r, o, output_row);
        else
            horizontal_then_vertical(&r, o, output_row);
        r.kernels->interleave[src->channels](planes, width, out);
    }
    return CGT_OK;
}
