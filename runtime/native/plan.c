/* Filter tables: which source samples make an output sample, and how much of
 * each. The definition is Pillow's precompute_coeffs (libImaging/Resample.c):
 * weights are normalised over the samples that exist, so borders need no
 * padding. */
#include <math.h>
#include <stdlib.h>

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

typedef struct {
    double (*weight)(double);
    double support;
} filter_def;

static const filter_def FILTERS[] = {
    [CGT_FILTER_BILINEAR] = {bilinear, 1.0},
    [CGT_FILTER_BICUBIC] = {bicubic, 2.0},
};
enum { FILTER_COUNT = (int)(sizeof FILTERS / sizeof FILTERS[0]) };

static void axis_free(cgt_axis *axis) {
    free(axis->first);
    free(axis->count);
    free(axis->weights);
}

static int axis_init(cgt_axis *axis, int in, int out, const filter_def *filter) {
    const double scale = (double)in / out;
    const double stretch = scale > 1.0 ? scale : 1.0;
    const double support = filter->support * stretch;
    const size_t taps = (size_t)ceil(support) * 2 + 1;

    axis->in = in;
    axis->out = out;
    axis->taps = (int)taps;
    axis->first = malloc((size_t)out * sizeof *axis->first);
    axis->count = malloc((size_t)out * sizeof *axis->count);
    axis->weights = calloc((size_t)out * taps, sizeof *axis->weights);
    if (!axis->first || !axis->count || !axis->weights)
        return CGT_E_MEMORY;

    for (int o = 0; o < out; o++) {
        const double center = (o + 0.5) * scale;
        int lo = (int)(center - support + 0.5);
        int hi = (int)(center + support + 0.5);
        if (lo < 0)
            lo = 0;
        if (hi > in)
            hi = in;
        double sum = 0.0;
        for (int i = lo; i < hi; i++)
            sum += filter->weight((i - center + 0.5) / stretch);
        float *weights = axis->weights + (size_t)o * taps;
        for (int i = lo; i < hi; i++)
            weights[i - lo] = (float)(filter->weight((i - center + 0.5) / stretch) / sum);
        axis->first[o] = lo;
        axis->count[o] = hi - lo;
    }
    return CGT_OK;
}

int cgt_plan_create(cgt_plan **out_plan, int in_width, int in_height,
                    int out_width, int out_height, cgt_filter filter) {
    if (!out_plan)
        return CGT_E_NULL;
    *out_plan = NULL;
    const int sides[] = {in_width, in_height, out_width, out_height};
    for (int i = 0; i < 4; i++)
        if (sides[i] < 1 || sides[i] > CGT_MAX_SIDE)
            return CGT_E_SIZE;
    if ((int)filter < 0 || (int)filter >= FILTER_COUNT)
        return CGT_E_FILTER;

    cgt_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return CGT_E_MEMORY;
    int rc = axis_init(&plan->x, in_width, out_width, &FILTERS[filter]);
    if (rc == CGT_OK)
        rc = axis_init(&plan->y, in_height, out_height, &FILTERS[filter]);
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

size_t cgt_plan_scratch(const cgt_plan *plan, int channels) {
    /* One source-wide row of column sums and one finished output row. */
    return ((size_t)plan->x.in + (size_t)plan->x.out) * (size_t)channels;
}
