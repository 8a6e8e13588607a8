/* Coefficients of guided upsampling, of an image of the network's size. Rows enter sums over
 * columns and leave them again, so a row costs the same for every radius. */
#include <string.h>

#include "internal.h"

enum {
    LANE_WORDS = 32,
    NUM_LEVELS = 6 /* planes of a row: the inputs and the outputs */
};

static size_t round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

size_t cgt_guide_stride(int width) {
    return round_up((size_t)width + CGT_GUIDE_SLACK, LANE_WORDS);
}

size_t cgt_guide_size(int width, int height) {
    if (width < 1 || width > CGT_MAX_SIDE || height < 1 || height > CGT_MAX_SIDE)
        return 0;
    return (size_t)height * CGT_GUIDE_PLANES * cgt_guide_stride(width) * sizeof(int16_t);
}

/* Scratch memory, divided into regions. Rows of sums have zeros on both sides:
 * radius + 1 on the left, radius on the right. */
typedef struct {
    size_t stride;         /* of planes of words */
    size_t plane;          /* of planes of sums */
    int16_t *levels;       /* ring of rows of NUM_LEVELS planes: bytes - 128 */
    int16_t *coefficients; /* ring of rows of CGT_GUIDE_PLANES planes: of windows */
    int16_t *zeros;        /* a row that is outside of the image */
    int32_t *pixel_sums;   /* of columns: CGT_GUIDE_SUMS planes */
    int32_t *slope_sums;   /* of columns: CGT_GUIDE_PLANES planes */
    int32_t *window_sums;  /* CGT_GUIDE_SUMS planes */
    float *inverse_area;   /* of the window of each column */
    float *line;
    uint8_t *bytes; /* six planes */
    size_t size;
} workspace;

static void *take(char *base, size_t *offset, size_t bytes) {
    void *region = base ? base + *offset : NULL;
    *offset += round_up(bytes, 64);
    return region;
}

static int radius_of(const cgt_guide *guide) {
    return guide->method == CGT_GUIDED ? guide->radius : 0;
}

/* The slots of a ring, a power of two: at least the rows of a window, and the one that leaves when
 * the next one enters. */
static size_t ring_rows(int radius) {
    size_t rows = 2;
    while (rows < 2 * (size_t)radius + 2)
        rows *= 2;
    return rows;
}

/* Divide scratch memory, whose address need not be aligned; NULL for the size only. */
static workspace divide(const cgt_guide *guide, void *scratch) {
    const int radius = radius_of(guide);
    const size_t width = (size_t)guide->width;
    workspace w = {.stride = round_up(width, LANE_WORDS),
                   .plane = round_up(width + 2 * (size_t)radius + 1, LANE_WORDS)};
    char *base = scratch ? (char *)scratch + (-(uintptr_t)scratch & 63) : NULL;
    size_t offset = 0;
    const size_t rows = ring_rows(radius);
    const size_t word = sizeof(int16_t);
    const size_t sum = sizeof(int32_t);
    w.levels = take(base, &offset, rows * NUM_LEVELS * w.stride * word);
    w.coefficients = take(base, &offset, rows * CGT_GUIDE_PLANES * w.stride * word);
    w.zeros = take(base, &offset, CGT_GUIDE_PLANES * w.stride * word);
    w.pixel_sums = take(base, &offset, CGT_GUIDE_SUMS * w.plane * sum);
    w.slope_sums = take(base, &offset, CGT_GUIDE_PLANES * w.plane * sum);
    w.window_sums = take(base, &offset, CGT_GUIDE_SUMS * w.plane * sum);
    w.inverse_area = take(base, &offset, width * sizeof(float));
    w.line = take(base, &offset, width * sizeof(float));
    w.bytes = take(base, &offset, NUM_LEVELS * w.stride);
    w.size = offset + 63;
    return w;
}

size_t cgt_guide_scratch_size(const cgt_guide *guide) {
    int16_t unused;
    if (!guide)
        return 0;
    cgt_guide copy = *guide;
    copy.coefficients = &unused;
    return cgt_check_guide(&copy) == CGT_OK ? divide(guide, NULL).size : 0;
}

typedef struct {
    const cgt_kernels *kernels;
    const cgt_guide *guide;
    const cgt_tensor *images[2];
    size_t n;
    int radius;
    size_t ring_mask;
    int area_rows; /* of inverse_area */
    workspace w;
} fitter;

/* The rows y of the window around row `center`, from *first to the returned one, exclusively. */
static int window_rows(const fitter *f, int center, int *first) {
    const int end = center + f->radius + 1;
    *first = center > f->radius ? center - f->radius : 0;
    return end < f->guide->height ? end : f->guide->height;
}

static int16_t *levels_of(const fitter *f, int row) {
    return f->w.levels + ((size_t)row & f->ring_mask) * NUM_LEVELS * f->w.stride;
}

static int16_t *windows_of(const fitter *f, int row) {
    return f->w.coefficients + ((size_t)row & f->ring_mask) * CGT_GUIDE_PLANES * f->w.stride;
}

/* Convert row y of both images to the color space of the coefficients. */
static void load_row(const fitter *f, int y) {
    const cgt_image space = {.matrix = f->guide->matrix, .full_range = f->guide->full_range};
    int16_t *to = levels_of(f, y);
    for (int i = 0; i < 2; i++) {
        const cgt_tensor *t = f->images[i];
        uint8_t *const rgb[3] = {f->w.bytes, f->w.bytes + f->w.stride, f->w.bytes + 2 * f->w.stride};
        const uint8_t *const planes[3] = {rgb[0], rgb[1], rgb[2]};
        if (t->type == CGT_U8) {
            f->kernels->split((const uint8_t *)t->data + y * t->row_stride, f->n, rgb);
        } else {
            for (int c = 0; c < 3; c++)
                f->kernels->float_to_u8(
                    cgt_tensor_row(f->kernels, t, c, y, 0, f->n, f->w.line), f->n, rgb[c]);
        }
        const cgt_yuv_weights *weights = cgt_yuv_weights_of(&space);
        const int16_t *const sets[3] = {weights->y, weights->u, weights->v};
        for (int c = 0; c < 3; c++, to += f->w.stride) {
            const uint8_t *plane = planes[c];
            if (f->guide->format != CGT_PIXELS) {
                uint8_t *out = f->w.bytes + 3 * f->w.stride;
                f->kernels->weigh_rgb(planes, f->n, sets[c], c ? weights->middle : weights->black,
                                      out);
                plane = out;
            }
            for (size_t x = 0; x < f->n; x++)
                to[x] = (int16_t)(plane[x] - 128);
        }
    }
}

/* Set the inverse areas of windows with this number of rows, which seldom changes. */
static void set_areas(fitter *f, int rows) {
    const int width = f->guide->width;
    if (rows == f->area_rows)
        return;
    f->area_rows = rows;
    for (int x = 0; x < width; x++) {
        const int first = x > f->radius ? x - f->radius : 0;
        const int end = x + f->radius + 1 < width ? x + f->radius + 1 : width;
        f->w.inverse_area[x] = 1.0f / (float)((end - first) * rows);
    }
}

/* Return E: eps times the identity in RGB, in the units of squared levels. In YUV it is
 * transformed like a covariance, so that the result is the same as in RGB. */
static cgt_regularization regularization_of(const cgt_guide *guide) {
    const double eps = (double)guide->eps * 255.0 * 255.0;
    const cgt_image space = {.matrix = guide->matrix, .full_range = guide->full_range};
    double e[3][3] = {{eps, 0, 0}, {0, eps, 0}, {0, 0, eps}};
    if (guide->format != CGT_PIXELS) {
        const cgt_yuv_weights *weights = cgt_yuv_weights_of(&space);
        const int16_t *const m[3] = {weights->y, weights->u, weights->v};
        for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 3; j++) {
                int64_t sum = 0;
                for (int k = 0; k < 3; k++)
                    sum += (int64_t)m[i][k] * m[j][k];
                e[i][j] = eps * ((double)sum / (double)(1 << 30));
            }
        }
    }
    const double l1 = e[0][1] / e[0][0];
    const double l2 = e[0][2] / e[0][0];
    const double d1 = e[1][1] - l1 * e[0][1];
    const double t = e[1][2] - l1 * e[0][2];
    const double d2 = (e[2][2] - l2 * e[0][2]) - t / d1 * t;
    return (cgt_regularization){{(float)e[0][0], (float)e[0][1], (float)e[0][2], (float)e[1][1],
                                 (float)e[1][2], (float)e[2][2]},
                                {(float)e[0][0], (float)d1, (float)d2}};
}

/* Sum `planes` planes of sums of columns over the windows. */
static void sum_windows(const fitter *f, const int32_t *columns, int planes) {
    for (int k = 0; k < planes; k++)
        f->kernels->box_sums(columns + (size_t)k * f->w.plane, f->n,
                             2 * (size_t)f->radius + 1, f->w.window_sums + (size_t)k * f->w.plane);
}

/* Write row y of the result: the means of the windows' coefficients. */
static void write_row(fitter *f, int y) {
    int first;
    const int end = window_rows(f, y, &first);
    sum_windows(f, f->w.slope_sums, CGT_GUIDE_PLANES);
    set_areas(f, end - first);
    const size_t stride = cgt_guide_stride(f->guide->width);
    int16_t *out = f->guide->coefficients + (size_t)y * CGT_GUIDE_PLANES * stride;
    for (size_t k = 0; k < CGT_GUIDE_PLANES; k++) {
        const int16_t *levels =
            k % 4 == 3 ? levels_of(f, y) + (3 + k / 4) * f->w.stride : NULL;
        f->kernels->guide_mean(f->w.window_sums + k * f->w.plane, levels, f->n,
                               f->w.inverse_area, f->guide->detail, out + k * stride);
    }
}

/* Compute the coefficients of the windows around row y, of which `next` is the first row that
 * the sums of the columns do not have yet. Returns the new `next`. */
static int fit_row(fitter *f, int y, int next, const cgt_regularization *e) {
    int first;
    const int end = window_rows(f, y, &first);
    const int leaving = y - f->radius - 1; /* it has entered if `next` is past it */
    const int16_t *removed = leaving >= 0 && leaving < next ? levels_of(f, leaving) : f->w.zeros;
    if (next < first) { /* the first call of a band */
        next = first;
        removed = f->w.zeros;
    }
    int32_t *sums = f->w.pixel_sums + f->radius + 1;
    do {
        const int16_t *added = f->w.zeros;
        if (next < end) {
            load_row(f, next);
            added = levels_of(f, next++);
        }
        f->kernels->guide_accumulate(added, removed, f->w.stride, f->n, sums, f->w.plane);
        removed = f->w.zeros;
    } while (next < end);
    sum_windows(f, f->w.pixel_sums, CGT_GUIDE_SUMS);
    set_areas(f, end - first);
    f->kernels->guide_solve(f->w.window_sums, f->w.plane, f->n, f->w.inverse_area, e,
                            windows_of(f, y), f->w.stride);
    return next;
}

static void fit_guided(fitter *f, int first_row, int last_row) {
    const int height = f->guide->height;
    const int radius = f->radius;
    const int begin = first_row > radius ? first_row - radius : 0;
    const cgt_regularization e = regularization_of(f->guide);
    memset(f->w.zeros, 0, CGT_GUIDE_PLANES * f->w.stride * sizeof *f->w.zeros);
    memset(f->w.pixel_sums, 0, CGT_GUIDE_SUMS * f->w.plane * sizeof *f->w.pixel_sums);
    memset(f->w.slope_sums, 0, CGT_GUIDE_PLANES * f->w.plane * sizeof *f->w.slope_sums);
    int next = 0;
    /* Row y - radius is complete when the windows around row y have been added. */
    for (int y = begin; y < last_row + radius; y++) {
        const int16_t *added = f->w.zeros;
        if (y < height) {
            next = fit_row(f, y, next, &e);
            added = windows_of(f, y);
        }
        const int leaving = y - 2 * radius - 1;
        const int16_t *removed = leaving >= begin ? windows_of(f, leaving) : f->w.zeros;
        f->kernels->guide_accumulate_coefficients(added, removed, f->w.stride, f->n,
                                                  f->w.slope_sums + radius + 1, f->w.plane);
        if (y - radius >= first_row)
            write_row(f, y - radius);
    }
}

static void fit_detail(const fitter *f, int first_row, int last_row) {
    const size_t stride = cgt_guide_stride(f->guide->width);
    const int16_t slope = (int16_t)(f->guide->detail * (float)(1 << CGT_SLOPE_BITS) + 0.5f);
    for (int y = first_row; y < last_row; y++) {
        load_row(f, y);
        const int16_t *levels = levels_of(f, y);
        int16_t *out = f->guide->coefficients + (size_t)y * CGT_GUIDE_PLANES * stride;
        for (size_t o = 0; o < 3; o++) {
            for (size_t k = 0; k < 3; k++, out += stride)
                for (size_t x = 0; x < f->n; x++)
                    out[x] = k == o ? slope : 0;
            f->kernels->guide_detail(levels + o * f->w.stride, levels + (3 + o) * f->w.stride,
                                     f->n, f->guide->detail, out);
            out += stride;
        }
    }
}

static int check_small_image(const cgt_tensor *t, const cgt_guide *guide) {
    const int rc = cgt_check_tensor(t, guide->width, guide->height, 3);
    if (rc != CGT_OK)
        return rc;
    return (t->type == CGT_U8) == (t->layout == CGT_HWC) ? CGT_OK : CGT_E_ENUM;
}

int cgt_guide_fit(const cgt_guide *guide, const cgt_tensor *input, const cgt_tensor *output,
                  int first_row, int last_row, void *scratch) {
    int rc = cgt_check_guide(guide);
    if (rc == CGT_OK)
        rc = check_small_image(input, guide);
    if (rc == CGT_OK)
        rc = check_small_image(output, guide);
    if (rc == CGT_OK)
        rc = scratch ? cgt_check_rows(first_row, last_row, guide->height) : CGT_E_NULL;
    if (rc != CGT_OK)
        return rc;
    fitter f = {.kernels = cgt_kernels_current(),
                .guide = guide,
                .images = {input, output},
                .n = (size_t)guide->width,
                .radius = radius_of(guide),
                .ring_mask = ring_rows(radius_of(guide)) - 1,
                .w = divide(guide, scratch)};
    if (!f.kernels)
        return CGT_E_SIMD;
    if (guide->method == CGT_DETAIL)
        fit_detail(&f, first_row, last_row);
    else if (first_row < last_row)
        fit_guided(&f, first_row, last_row);
    return CGT_OK;
}
