/* Filter tables: the source samples of each output sample, and their weights. The
 * definition is Pillow's precompute_coeffs (libImaging/Resample.c). Weights are
 * normalized over the samples inside the image, so borders need no padding. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static double bilinear(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* R. Keys, "Cubic convolution interpolation", 1981, with a = -0.5. */
static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0)
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

/* Half open, so that exactly one of two samples at the edges counts. */
static double area(double x) {
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double sinc(double x) {
    const double pi = 3.14159265358979323846;
    return x == 0.0 ? 1.0 : sin(pi * x) / (pi * x);
}

/* C. Duchon, "Lanczos filtering in one and two dimensions", 1979, three lobes. */
static double lanczos(double x) {
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

typedef struct {
    double (*weight)(double); /* NULL: nearest */
    double support;
} filter_def;

static const filter_def FILTERS[] = {
    [CGT_FILTER_BILINEAR] = {bilinear, 1.0}, [CGT_FILTER_BICUBIC] = {bicubic, 2.0},
    [CGT_FILTER_BOX] = {area, 0.5},          [CGT_FILTER_LANCZOS] = {lanczos, 3.0},
    [CGT_FILTER_NEAREST] = {NULL, 0.0},
};
enum { FILTER_COUNT = (int)(sizeof FILTERS / sizeof FILTERS[0]) };

static void axis_free(cgt_axis *axis) {
    free(axis->first);
    free(axis->count);
    free(axis->weights);
    free(axis->high);
    free(axis->low);
    free(axis->weights32);
}

/* Compute the range lo..hi-1 of the samples of an output. */
static void
sample_range(const filter_def *filter, double center, double stretch, int in, int *lo, int *hi) {
    if (!filter->weight) {
        *lo = (int)center < in ? (int)center : in - 1;
        *hi = *lo + 1;
        return;
    }
    const double support = filter->support * stretch;
    const double left = center - support + 0.5;
    *lo = left < 0.0 ? 0 : (int)left;
    *hi = (int)(center + support + 0.5);
    if (*hi > in)
        *hi = in;
}

/* Compute the normalized weights of samples lo..lo+count-1; return the largest magnitude. */
static double compute_weights(const filter_def *filter, double center, double stretch, int lo,
                              int count, double *weights) {
    const double shrink = 1.0 / stretch;
    double sum = 0.0;
    for (int i = 0; i < count; i++) {
        weights[i] = filter->weight ? filter->weight((i + lo - center + 0.5) * shrink) : 1.0;
        sum += weights[i];
    }
    double largest = 0.0;
    for (int i = 0; i < count; i++) {
        weights[i] /= sum;
        largest = fmax(largest, fabs(weights[i]));
    }
    return largest;
}

/* Convert weights to fixed point with a sum of exactly 2^bits, so that flat areas
 * keep their value: each rounding error is carried to the next weight. */
static void quantize_weights(const double *weights, int count, int bits, int16_t *out) {
    double sum = 0.0;
    int assigned = 0;
    for (int i = 0; i < count; i++) {
        sum += ldexp(weights[i], bits);
        const int cumulative = (int)lrint(sum);
        out[i] = (int16_t)(cumulative - assigned);
        assigned = cumulative;
    }
}

/* Convert weights to Pillow's fixed point, which rounds each weight separately. */
static void quantize_like_pillow(const double *weights, int count, int32_t *weights32,
                                 int16_t *high, int16_t *low) {
    for (int i = 0; i < count; i++) {
        const int32_t w = (int32_t)(ldexp(weights[i], 22) + (weights[i] < 0.0 ? -0.5 : 0.5));
        weights32[i] = w;
        /* -1024..1023 and no larger than w, so sums of any number of them fit in 32 bits. */
        low[i] = (int16_t)(((w + 1024) & 2047) - 1024);
        high[i] = (int16_t)((w - low[i]) / 2048);
    }
}

/* Compute the tables of an axis. taps is rounded up to a multiple of 4; max_bits is the
 * precision that 32-bit sums allow. */
static int axis_init(cgt_axis *axis, int in, int out, const filter_def *filter, float from,
                     float to, int max_bits) {
    const double scale = (double)(to - from) / out; /* single precision up to here, as in Pillow */
    const double stretch = scale > 1.0 ? scale : 1.0;
    const size_t rows = (size_t)out + CGT_LANES;

    axis->in = in;
    axis->out = out;
    axis->identity = scale == 1.0 && from == floorf(from);
    axis->first = calloc(rows, sizeof *axis->first);
    axis->count = calloc(rows, sizeof *axis->count);
    if (!axis->first || !axis->count)
        return CGT_E_MEMORY;

    static const filter_def NEAREST = {NULL, 0.0};
    if (axis->identity) /* then the weights of every filter are 1 and 0 */
        filter = &NEAREST;
    int taps = 1;
    /* Pillow accumulates the positions of nearest, with their rounding errors. */
    double nearest_center = from + 0.5 * scale;
    for (int o = 0; o < out; o++, nearest_center += scale) {
        int lo = 0;
        int hi = 0;
        sample_range(filter, filter->weight ? from + (o + 0.5) * scale : nearest_center, stretch,
                     in, &lo, &hi);
        axis->first[o] = lo;
        axis->count[o] = hi - lo;
        taps = hi - lo > taps ? hi - lo : taps;
    }
    axis->lo = axis->first[0];
    axis->span = axis->first[out - 1] + axis->count[out - 1] - axis->lo;
    axis->taps = (taps + 3) / 4 * 4;
    const size_t cells = rows * (size_t)axis->taps;
    axis->weights = calloc(cells, sizeof *axis->weights);
    axis->high = calloc(cells, sizeof *axis->high);
    axis->low = calloc(cells, sizeof *axis->low);
    axis->weights32 = calloc(cells, sizeof *axis->weights32);
    double *real = calloc((size_t)taps, sizeof *real);
    if (!axis->weights || !axis->high || !axis->low || !axis->weights32 || !real) {
        free(real);
        return CGT_E_MEMORY;
    }

    double largest = 0.0;
    for (int o = 0; o < out; o++) {
        const int lo = axis->first[o];
        const double center = from + (o + 0.5) * scale;
        largest = fmax(largest, compute_weights(filter, center, stretch, lo, axis->count[o], real));
    }
    /* A carried error may add 1 to a weight, which must stay below 2^15. */
    axis->bits = max_bits;
    while (ldexp(largest, axis->bits) > 32766.0)
        axis->bits--;
    for (int o = 0; o < out; o++) {
        const int lo = axis->first[o];
        const double center = from + (o + 0.5) * scale;
        compute_weights(filter, center, stretch, lo, axis->count[o], real);
        const size_t cell = (size_t)o * (size_t)axis->taps;
        quantize_weights(real, axis->count[o], axis->bits, axis->weights + cell);
        quantize_like_pillow(real, axis->count[o], axis->weights32 + cell, axis->high + cell,
                             axis->low + cell);
        axis->first[o] -= axis->lo;
    }
    free(real);
    return CGT_OK;
}

int cgt_plan_create(cgt_plan **out_plan, int in_width, int in_height, int out_width, int out_height,
                    cgt_filter filter, const float box[4]) {
    if (!out_plan)
        return CGT_E_NULL;
    *out_plan = NULL;
    const int sides[] = {in_width, in_height, out_width, out_height};
    for (int i = 0; i < 4; i++)
        if (sides[i] < 1 || sides[i] > CGT_MAX_SIDE)
            return CGT_E_SIZE;
    if ((int)filter < 0 || (int)filter >= FILTER_COUNT)
        return CGT_E_ENUM;
    const float whole[] = {0.0f, 0.0f, (float)in_width, (float)in_height};
    const float *b = box ? box : whole;
    /* This form also rejects NaN. Boxes below 1/1000 of a pixel count as empty. */
    if (!(b[0] >= 0.0f && b[1] >= 0.0f && b[2] <= (float)in_width && b[3] <= (float)in_height &&
          b[2] - b[0] >= 1e-3f && b[3] - b[1] >= 1e-3f))
        return CGT_E_BOX;

    cgt_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return CGT_E_MEMORY;
    /* Vertically, 255 * 2^22 and the overshoot of Lanczos fit in 31 bits. Horizontally,
     * column sums have CGT_SUM_FRACTION_BITS more bits. */
    int rc = axis_init(&plan->x, in_width, out_width, &FILTERS[filter], b[0], b[2],
                       22 - CGT_SUM_FRACTION_BITS);
    if (rc == CGT_OK)
        rc = axis_init(&plan->y, in_height, out_height, &FILTERS[filter], b[1], b[3], 22);
    /* Pillow's choice since version 13. The order matters, because clamping after the first
     * pass removes the overshoot of bicubic and Lanczos. */
    plan->vertical_first =
        out_height < in_height && in_height - out_height > 2 * (in_width - out_width);
    if (rc != CGT_OK) {
        cgt_plan_destroy(plan);
        return rc;
    }
    *out_plan = plan;
    return CGT_OK;
}

void cgt_plan_destroy(cgt_plan *plan) {
    if (!plan)
        return;
    axis_free(&plan->x);
    axis_free(&plan->y);
    free(plan);
}

cgt_scratch
cgt_scratch_layout(const cgt_plan *plan, int channels, cgt_format format, void *scratch) {
    const size_t c = (size_t)channels;
    const size_t plane = ((size_t)plan->x.out + CGT_LANES - 1) / CGT_LANES * CGT_LANES;
    const size_t taps = (size_t)plan->y.taps;
    /* Row functions may read and write past the end; see cgt_kernels. */
    const size_t in = ((size_t)plan->x.span + (size_t)plan->x.taps) * c;
    const size_t column_sums_length = (in > c * plane ? in : c * plane) + 64;
    const size_t sizes[] = {
        taps * sizeof(uint8_t *),
        column_sums_length * sizeof(int16_t),
        c * plane * sizeof(int32_t),
        c * plane * sizeof(int32_t),
        c * plane * sizeof(float),
        c * plane * sizeof(float),
        (taps + 1) * c * plane + column_sums_length,
        cgt_source_ring(plan, format),
    };
    enum { REGION_COUNT = sizeof sizes / sizeof sizes[0], ALIGN = 64 };
    cgt_scratch s = {.plane = plane, .size = ALIGN};
    uint8_t *regions[REGION_COUNT] = {NULL};
    uint8_t *next = scratch;
    if (next)
        next += (ALIGN - (uintptr_t)next % ALIGN) % ALIGN;
    for (int i = 0; i < REGION_COUNT; i++) {
        const size_t size = (sizes[i] + ALIGN - 1) / ALIGN * ALIGN;
        s.size += size;
        if (next) {
            regions[i] = next;
            next += size;
        }
    }
    s.tap_rows = (const uint8_t **)(void *)regions[0];
    s.column_sums = (int16_t *)(void *)regions[1];
    s.column_sums_length = column_sums_length;
    s.sums = (int32_t *)(void *)regions[2];
    s.low_sums = (int32_t *)(void *)regions[3];
    s.line = (float *)(void *)regions[4];
    s.interleaved_line = (float *)(void *)regions[5];
    s.bytes = regions[6];
    s.ring = regions[7];
    return s;
}

void cgt_scratch_clear(const cgt_scratch *s, int channels) {
    memset(s->column_sums, 0, s->column_sums_length * sizeof *s->column_sums);
    memset(s->sums, 0, (size_t)channels * s->plane * sizeof *s->sums);
    memset(s->low_sums, 0, (size_t)channels * s->plane * sizeof *s->low_sums);
}

size_t cgt_scratch_size(const cgt_plan *plan, int channels, cgt_format format) {
    if (!plan || (channels != 1 && channels != 3 && channels != 4) || (int)format < 0 ||
        format > CGT_I420)
        return 0;
    return cgt_scratch_layout(plan, channels, format, NULL).size;
}
