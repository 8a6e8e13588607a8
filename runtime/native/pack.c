/* Conversion of bytes to tensors. The vertical pass comes first, because it reads
 * the many source rows sequentially. */
#include <math.h>
#include <string.h>

#include "internal.h"

static const cgt_packing DEFAULTS = CGT_PACKING;

static int check_packing(const cgt_packing *p, const cgt_plan *plan, int channels) {
    if (p->swap_rb && channels < 3)
        return CGT_E_CHANNELS;
    for (int c = 0; c < channels; c++)
        if (!isfinite(p->scale[c]) || !isfinite(p->offset[c]))
            return CGT_E_SCALE;
    const int sides[2][2] = {{p->padded_width, plan->x.out}, {p->padded_height, plan->y.out}};
    for (int i = 0; i < 2; i++) {
        if (sides[i][0] == 0)
            continue;
        if (sides[i][0] < sides[i][1] || sides[i][0] > CGT_MAX_SIDE)
            return CGT_E_SIZE;
        if (sides[i][0] - sides[i][1] >= sides[i][1])
            return CGT_E_PADDING;
    }
    return CGT_OK;
}

typedef struct {
    const cgt_kernels *kernels;
    const cgt_plan *plan;
    const cgt_packing *packing;
    const cgt_tensor *dst;
    int channels;
    cgt_source source;
    cgt_scratch s;
    int source_channel[4];     /* the source channel of each tensor channel */
    float scale[4], offset[4]; /* by source channel */
} packer;

static size_t element_size(const cgt_tensor *t) {
    return t->type == CGT_F32 ? sizeof(float) : t->type == CGT_F16 ? sizeof(uint16_t) : 1;
}

/* Return the address of a row of a channel, which is 0 for HWC. */
static uint8_t *row_address(const packer *p, int channel, int row) {
    const cgt_tensor *t = p->dst;
    return (uint8_t *)t->data +
           (channel * t->plane_stride + row * t->row_stride) * (ptrdiff_t)element_size(t);
}

/* Resample output row o into s.sums, in planes s.plane apart. */
static void resample_row(packer *p, int o) {
    const cgt_axis *x = &p->plan->x;
    const cgt_axis *y = &p->plan->y;
    const int first = y->lo + y->first[o];
    const int taps = (y->count[o] + 1) / 2 * 2;
    for (int k = 0; k < y->count[o]; k++)
        p->s.tap_rows[k] = cgt_source_row(&p->source, first + k);
    p->s.tap_rows[taps - 1] = p->s.tap_rows[y->count[o] - 1];
    p->kernels->vertical_pass(p->s.tap_rows, taps, y->weights + (size_t)o * (size_t)y->taps,
                              y->bits - CGT_SUM_FRACTION_BITS,
                              (size_t)x->span * (size_t)p->channels, p->s.column_sums);
    p->kernels->horizontal_pass[p->channels](x, x->weights, p->s.column_sums, p->s.sums,
                                             p->s.plane);
}

/* Compute row o as floats, source channel c in lines[c]. */
static void convert_row(packer *p, int o, float *const *lines) {
    const size_t n = (size_t)p->plan->x.out;
    if (p->plan->x.identity && p->plan->y.identity) {
        p->kernels->deinterleave[p->channels](cgt_source_row(&p->source, p->plan->y.lo + o), n,
                                              p->scale, p->offset, lines);
        return;
    }
    resample_row(p, o);
    const int bits = p->plan->x.bits + CGT_SUM_FRACTION_BITS;
    for (int c = 0; c < p->channels; c++)
        p->kernels->scale(p->s.sums + (size_t)c * p->s.plane, n, 255 << bits,
                          ldexpf(p->scale[c], -bits), p->offset[c], lines[c]);
}

/* Write row o as bytes, without its padding. */
static void pack_bytes(packer *p, int o) {
    const size_t n = (size_t)p->plan->x.out;
    const size_t channels = (size_t)p->channels;
    const int chw = p->dst->layout == CGT_CHW;
    if (p->plan->x.identity && p->plan->y.identity) {
        const uint8_t *in = cgt_source_row(&p->source, p->plan->y.lo + o);
        if (!chw && !p->packing->swap_rb) {
            memcpy(row_address(p, 0, o), in, n * channels);
            return;
        }
        for (size_t c = 0; c < channels; c++) {
            const uint8_t *from = in + p->source_channel[c];
            uint8_t *to = chw ? row_address(p, (int)c, o) : row_address(p, 0, o) + c;
            for (size_t i = 0; i < n; i++)
                to[i * (chw ? 1 : channels)] = from[i * channels];
        }
        return;
    }
    resample_row(p, o);
    const uint8_t *planes[4] = {NULL};
    for (int c = 0; c < p->channels; c++) {
        const size_t at = (size_t)p->source_channel[c] * p->s.plane;
        uint8_t *to = chw ? row_address(p, c, o) : p->s.bytes + at;
        p->kernels->sums_to_levels(p->s.sums + at, n, p->plan->x.bits + CGT_SUM_FRACTION_BITS, to);
        planes[c] = to;
    }
    if (!chw)
        p->kernels->interleave[p->channels](planes, n, row_address(p, 0, o));
}

/* Write row o without its padding. */
static void pack_row(packer *p, int o) {
    if (p->dst->type == CGT_U8) {
        pack_bytes(p, o);
        return;
    }
    const size_t n = (size_t)p->plan->x.out;
    const size_t channels = (size_t)p->channels;
    const int in_place = p->dst->layout == CGT_CHW && p->dst->type == CGT_F32;
    float *lines[4] = {NULL};
    for (int c = 0; c < p->channels; c++)
        lines[p->source_channel[c]] =
            in_place ? (float *)(void *)row_address(p, c, o) : p->s.line + (size_t)c * p->s.plane;
    convert_row(p, o, lines);
    if (in_place)
        return;
    if (p->dst->layout == CGT_CHW) {
        for (int c = 0; c < p->channels; c++)
            p->kernels->f32_to_f16(lines[p->source_channel[c]], n,
                                   (uint16_t *)(void *)row_address(p, c, o));
        return;
    }
    float *out =
        p->dst->type == CGT_F32 ? (float *)(void *)row_address(p, 0, o) : p->s.interleaved_line;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < n; i++)
            out[i * channels + c] = p->s.line[c * p->s.plane + i];
    if (p->dst->type == CGT_F16)
        p->kernels->f32_to_f16(out, n * channels, (uint16_t *)(void *)row_address(p, 0, o));
}

/* Write the reflections of row o: its right margin and a row of the lower margin. */
static void reflect_padding(const packer *p, int o) {
    const int width = p->plan->x.out;
    const int height = p->plan->y.out;
    const int padded = p->packing->padded_width ? p->packing->padded_width : width;
    const int mirror = 2 * (height - 1) - o;
    const int chw = p->dst->layout == CGT_CHW;
    const size_t pixel = element_size(p->dst) * (chw ? 1u : (size_t)p->channels);
    for (int c = 0; c < (chw ? p->channels : 1); c++) {
        uint8_t *row = row_address(p, c, o);
        for (int i = width; i < padded; i++)
            memcpy(row + (size_t)i * pixel, row + (size_t)(2 * (width - 1) - i) * pixel, pixel);
        if (mirror >= height && mirror < p->packing->padded_height)
            memcpy(row_address(p, c, mirror), row, (size_t)padded * pixel);
    }
}

int cgt_pack(const cgt_plan *plan, const cgt_image *src, const cgt_tensor *dst,
             const cgt_packing *packing, int first_row, int last_row, void *scratch) {
    if (!packing)
        packing = &DEFAULTS;
    int rc = cgt_check_source(src, plan);
    if (rc == CGT_OK)
        rc = check_packing(packing, plan, src->channels);
    if (rc == CGT_OK) {
        const int width = packing->padded_width ? packing->padded_width : plan->x.out;
        const int height = packing->padded_height ? packing->padded_height : plan->y.out;
        rc = cgt_check_tensor(dst, width, height, src->channels);
    }
    if (rc == CGT_OK)
        rc = scratch ? cgt_check_rows(first_row, last_row, plan->y.out) : CGT_E_NULL;
    if (rc != CGT_OK)
        return rc;
    packer p = {.kernels = cgt_kernels_current(),
                .plan = plan,
                .packing = packing,
                .dst = dst,
                .channels = src->channels};
    if (!p.kernels)
        return CGT_E_SIMD;
    p.s = cgt_scratch_layout(plan, src->channels, src->format, scratch);
    cgt_source_open(&p.source, p.kernels, plan, src, p.s.ring);

    cgt_scratch_clear(&p.s, src->channels);
    for (int c = 0; c < src->channels; c++) {
        p.source_channel[c] = packing->swap_rb && c != 3 ? 2 - c : c;
        p.scale[p.source_channel[c]] = packing->scale[c];
        p.offset[p.source_channel[c]] = packing->offset[c];
    }
    const int padded = packing->padded_width > plan->x.out || packing->padded_height > plan->y.out;
    for (int o = first_row; o < last_row; o++) {
        pack_row(&p, o);
        if (padded)
            reflect_padding(&p, o);
    }
    return CGT_OK;
}
