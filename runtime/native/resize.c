/* Bytes to bytes: Pillow's weights, Pillow's order of passes, and so Pillow's
 * bytes. Both passes round and clamp. */
#include <string.h>

#include "internal.h"

typedef struct {
    const cgt_kernels *kernels;
    const cgt_plan *plan;
    int channels;
    cgt_source source;
    cgt_scratch s;
    size_t row_bytes; /* of a row in planes */
    int next;         /* across first: the first row that is not in the ring */
} resizer;

/* One row of interleaved bytes -> planes of bytes. */
static void resize_horizontally(resizer *r, const uint8_t *in, uint8_t *out) {
    const cgt_axis *x = &r->plan->x;
    r->kernels->u8_to_i16(in, (size_t)x->span * (size_t)r->channels, r->s.column_sums);
    r->kernels->horizontal_pass[r->channels](x, x->high, r->s.column_sums, r->s.sums, r->s.plane);
    r->kernels->horizontal_pass[r->channels](x, x->low, r->s.column_sums, r->s.low, r->s.plane);
    r->kernels->sums_to_u8(r->s.sums, r->s.low, r->row_bytes, out);
}

/* s.tap_rows -> n bytes of output row o. */
static void resize_vertically(resizer *r, int o, size_t n, uint8_t *out) {
    const cgt_axis *y = &r->plan->y;
    r->kernels->vertical_pass_u8(r->s.tap_rows, y->count[o], y->weights32 + (size_t)o * (size_t)y->taps, n, out);
}

/* Rows that were resized across wait in a ring for the outputs that they are part of. */
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
    int rc = cgt_check_image(src, plan);
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
    /* The finished row, in planes; the ring lies behind it, or the one row of `resize_vertically`. */
    uint8_t *const done = r.s.bytes;
    r.s.bytes += r.row_bytes;
    const uint8_t *planes[4];
    for (int c = 0; c < src->channels; c++)
        planes[c] = done + (size_t)c * r.s.plane;
    for (int o = first_row; o < last_row; o++) {
        uint8_t *out = dst + o * dst_stride;
        if (plan->x.identity && plan->y.identity) {
            memcpy(out, cgt_source_row(&r.source, plan->y.lo + o), width * (size_t)src->channels);
            continue;
        }
        if (plan->vertical_first)
            vertical_then_horizontal(&r, o, done);
        else
            horizontal_then_vertical(&r, o, done);
        r.kernels->interleave[src->channels](planes, width, out);
    }
    return CGT_OK;
}
