/* Comparison of the row functions of each instruction set with the scalar ones: all
 * lengths up to 300, any alignment, rows that end at an inaccessible page. */
#include "internal.h"
#include "support.h"

enum { MAX_LENGTH = 300, MAX_TAPS = 26, SLACK = 64 };

static const cgt_kernels *const ref = &cgt_kernels_scalar;

static void expect_equal(const char *set, const char *function, const void *a, const void *b,
                         size_t size) {
    if (memcmp(a, b, size) != 0) {
        fprintf(stderr, "%s: %s differs from scalar\n", set, function);
        exit(1);
    }
}

static void check_vertical_passes(const cgt_kernels *r, size_t n) {
    const int taps = random_between(1, MAX_TAPS / 2) * 2;
    guarded rows[MAX_TAPS];
    const uint8_t *pointers[MAX_TAPS];
    int16_t weights[MAX_TAPS];
    int32_t weights32[MAX_TAPS];
    for (int k = 0; k < taps; k++) {
        rows[k] = guarded_new(n);
        fill_random(rows[k].data, n);
        pointers[k] = rows[k].data;
        /* Sums must stay within 31 bits and, shifted, within 15 bits. */
        weights[k] =
            (int16_t)random_between(-8000 / taps, 60000 / taps < 32767 ? 60000 / taps : 32767);
        weights32[k] = random_between(-900000 / taps, 5000000 / taps);
    }
    const int shift = random_between(9, 12);
    int16_t a[MAX_LENGTH + SLACK];
    int16_t b[MAX_LENGTH + SLACK];
    ref->vertical_pass(pointers, taps, weights, shift, n, a);
    r->vertical_pass(pointers, taps, weights, shift, n, b);
    expect_equal(r->name, "vertical_pass", a, b, n * sizeof *a);
    guarded out = guarded_new(n);
    uint8_t bytes[MAX_LENGTH];
    ref->vertical_pass_u8(pointers, taps - 1, weights32, n, bytes);
    r->vertical_pass_u8(pointers, taps - 1, weights32, n, out.data);
    expect_equal(r->name, "vertical_pass_u8", bytes, out.data, n);
    guarded_free(&out);
    for (int k = 0; k < taps; k++)
        guarded_free(&rows[k]);
}

static void check_horizontal_pass(const cgt_kernels *r, int channels) {
    const int in = random_between(1, 200);
    const int out = random_between(1, 150);
    cgt_plan *plan = NULL;
    CHECK(cgt_plan_create(&plan, in, in, out, out, (cgt_filter)random_between(0, 4), NULL) ==
          CGT_OK);
    const cgt_axis *axis = &plan->x;
    const size_t plane = ((size_t)out + CGT_LANES - 1) / CGT_LANES * CGT_LANES;
    const size_t size = ((size_t)in + (size_t)axis->taps) * (size_t)channels + SLACK;
    int16_t *column_sums = malloc(size * sizeof *column_sums);
    int32_t *a = calloc(plane * 4, sizeof *a);
    int32_t *b = calloc(plane * 4, sizeof *b);
    CHECK(column_sums && a && b);
    /* Column sums for the weights of cgt_pack; bytes for the halves of Pillow's weights. */
    const int16_t *const tables[] = {axis->weights, axis->low, axis->high};
    int32_t low[256];
    const size_t n = (size_t)out;
    for (int t = 0; t < 3; t++) {
        for (size_t i = 0; i < size; i++)
            column_sums[i] =
                (int16_t)(t == 0 ? random_between(-5000, 20000) : random_between(0, 255));
        if (t == 2)
            memcpy(low, a, n * sizeof *low);
        ref->horizontal_pass[channels](axis, tables[t], column_sums, a, plane);
        r->horizontal_pass[channels](axis, tables[t], column_sums, b, plane);
        for (int c = 0; c < channels; c++)
            expect_equal(r->name, "horizontal_pass", a + (size_t)c * plane, b + (size_t)c * plane,
                         n * sizeof *a);
    }
    uint8_t u8_a[256];
    uint8_t u8_b[256];
    ref->sums_to_u8(a, low, n, u8_a);
    r->sums_to_u8(a, low, n, u8_b);
    expect_equal(r->name, "sums_to_u8", u8_a, u8_b, n);
    float scaled_a[256];
    guarded scaled = guarded_new(n * sizeof(float));
    ref->scale(a, n, 255 << 16, 0.01f, -1.3f, scaled_a);
    r->scale(a, n, 255 << 16, 0.01f, -1.3f, (float *)(void *)scaled.data);
    expect_equal(r->name, "scale", scaled_a, scaled.data, n * sizeof(float));
    guarded_free(&scaled);
    guarded levels = guarded_new(n);
    const int bits = random_between(16, 22);
    ref->sums_to_levels(a, n, bits, u8_a);
    r->sums_to_levels(a, n, bits, levels.data);
    expect_equal(r->name, "sums_to_levels", u8_a, levels.data, n);
    guarded_free(&levels);
    free(column_sums);
    free(a);
    free(b);
    cgt_plan_destroy(plan);
}

static void check_interleaving(const cgt_kernels *r, size_t n, int channels) {
    const size_t c = (size_t)channels;
    guarded in = guarded_new(n * c);
    fill_random(in.data, in.size);
    static const float scale[4] = {1 / 127.5f, 0.0171f, 3.0f, -0.3f};
    static const float offset[4] = {-1.0f, -2.1f, 0.1f, 7.0f};
    static float a[4][MAX_LENGTH];
    float *const to_a[4] = {a[0], a[1], a[2], a[3]};
    guarded floats[4];
    float *to_b[4] = {NULL};
    for (size_t i = 0; i < c; i++) {
        floats[i] = guarded_new(n * sizeof(float));
        to_b[i] = (float *)(void *)floats[i].data;
    }
    ref->deinterleave[channels](in.data, n, scale, offset, to_a);
    r->deinterleave[channels](in.data, n, scale, offset, to_b);
    for (size_t i = 0; i < c; i++) {
        expect_equal(r->name, "deinterleave", a[i], to_b[i], n * sizeof(float));
        guarded_free(&floats[i]);
    }

    guarded planes[4];
    const uint8_t *pointers[4];
    for (size_t i = 0; i < c; i++) {
        planes[i] = guarded_new(n);
        fill_random(planes[i].data, n);
        pointers[i] = planes[i].data;
    }
    uint8_t interleaved[4 * MAX_LENGTH];
    ref->interleave[channels](pointers, n, interleaved);
    r->interleave[channels](pointers, n, in.data);
    expect_equal(r->name, "interleave", interleaved, in.data, in.size);
    if (channels == 3) {
        uint8_t *const to[3] = {planes[0].data, planes[1].data, planes[2].data};
        uint8_t split[3][MAX_LENGTH];
        uint8_t *const to_split[3] = {split[0], split[1], split[2]};
        fill_random(in.data, in.size);
        ref->split(in.data, n, to_split);
        r->split(in.data, n, to);
        for (int i = 0; i < 3; i++)
            expect_equal(r->name, "split", split[i], to[i], n);
    }
    for (size_t i = 0; i < c; i++)
        guarded_free(&planes[i]);
    guarded_free(&in);

    guarded bytes = guarded_new(n);
    fill_random(bytes.data, n);
    int16_t wide_a[MAX_LENGTH];
    int16_t wide_b[MAX_LENGTH];
    ref->u8_to_i16(bytes.data, n, wide_a);
    r->u8_to_i16(bytes.data, n, wide_b);
    expect_equal(r->name, "u8_to_i16", wide_a, wide_b, n * sizeof *wide_a);
    guarded_free(&bytes);
}

/* Inputs are floats of any bits, such as NaN, infinities and subnormals, and values near
 * rounding boundaries. */
static void check_float_conversions(const cgt_kernels *r, size_t n) {
    guarded in = guarded_new(n * sizeof(float));
    float *f = (float *)(void *)in.data;
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = random_u32();
        switch (random_u32() % 4) {
        case 0: memcpy(f + i, &bits, sizeof bits); break;
        case 1: f[i] = (float)random_between(-10, 521) / 255.0f - 1.0f; break;
        case 2: f[i] = (float)random_between(-70000, 70000) * 0x1p-25f; break;
        default: f[i] = (float)random_between(-3000, 3000) / 2500.0f; break;
        }
    }
    guarded out = guarded_new(n);
    uint8_t bytes[MAX_LENGTH];
    ref->float_to_u8(f, n, bytes);
    r->float_to_u8(f, n, out.data);
    expect_equal(r->name, "float_to_u8", bytes, out.data, n);
    ref->float_to_u8_truncated(f, n, bytes);
    r->float_to_u8_truncated(f, n, out.data);
    expect_equal(r->name, "float_to_u8_truncated", bytes, out.data, n);
    guarded_free(&out);

    guarded halves = guarded_new(n * sizeof(uint16_t));
    uint16_t *h = (uint16_t *)(void *)halves.data;
    uint16_t half[MAX_LENGTH];
    ref->f32_to_f16(f, n, half);
    r->f32_to_f16(f, n, h);
    expect_equal(r->name, "f32_to_f16", half, h, halves.size);
    for (size_t i = 0; i < n; i++)
        h[i] = (uint16_t)random_u32();
    float back[MAX_LENGTH];
    ref->f16_to_f32(h, n, back);
    r->f16_to_f32(h, n, f);
    expect_equal(r->name, "f16_to_f32", back, f, in.size);
    guarded_free(&halves);
    guarded_free(&in);
}

static void check_yuv_to_rgb(const cgt_kernels *r, size_t n, int step) {
    static const int16_t k[6] = {16, 9539, 7343, -873, -2183, 8652};
    const size_t half = (n + 1) / 2;
    guarded y = guarded_new(n);
    guarded u = guarded_new(half * (size_t)step);
    guarded v = guarded_new(half);
    fill_random(y.data, y.size);
    fill_random(u.data, u.size);
    fill_random(v.data, v.size);
    const uint8_t *second = step == 2 ? u.data + 1 : v.data;
    uint8_t a[3][MAX_LENGTH];
    uint8_t b[3][MAX_LENGTH];
    uint8_t *const to_a[3] = {a[0], a[1], a[2]};
    uint8_t *const to_b[3] = {b[0], b[1], b[2]};
    ref->yuv_to_rgb(y.data, u.data, second, step, n, k, to_a);
    r->yuv_to_rgb(y.data, u.data, second, step, n, k, to_b);
    for (int c = 0; c < 3; c++)
        expect_equal(r->name, "yuv_to_rgb", a[c], b[c], n);
    guarded_free(&y);
    guarded_free(&u);
    guarded_free(&v);
}

static void check_rgb_to_yuv(const cgt_kernels *r, size_t n, int step) {
    for (int i = 0; i < 4; i++) {
        const cgt_image image = {.matrix = (cgt_matrix)(i / 2), .full_range = i % 2};
        const cgt_yuv_weights *weights = cgt_yuv_weights_of(&image);
        guarded in[2][3];
        const uint8_t *rows[2][3];
        for (int k = 0; k < 6; k++) {
            in[k / 3][k % 3] = guarded_new(n);
            fill_random(in[k / 3][k % 3].data, n);
            rows[k / 3][k % 3] = in[k / 3][k % 3].data;
        }
        const size_t half = (n + 1) / 2;
        guarded y = guarded_new(n);
        guarded u = guarded_new(half * (size_t)step);
        guarded v = guarded_new(half);
        uint8_t luma[MAX_LENGTH];
        uint8_t chroma[2][MAX_LENGTH + 1];
        const int16_t *const planes[3] = {weights->y, weights->u, weights->v};
        for (int k = 0; k < 3; k++) {
            const int16_t offset = k ? weights->middle : weights->black;
            ref->weigh_rgb(rows[0], n, planes[k], offset, luma);
            r->weigh_rgb(rows[0], n, planes[k], offset, y.data);
            expect_equal(r->name, "weigh_rgb", luma, y.data, n);
        }
        ref->rgb_to_chroma(rows[0], rows[1], n, weights, step, chroma[0],
                           step == 2 ? chroma[0] + 1 : chroma[1]);
        r->rgb_to_chroma(rows[0], rows[1], n, weights, step, u.data,
                         step == 2 ? u.data + 1 : v.data);
        expect_equal(r->name, "rgb_to_chroma u", chroma[0], u.data, u.size);
        if (step == 1)
            expect_equal(r->name, "rgb_to_chroma v", chroma[1], v.data, v.size);
        guarded_free(&y);
        guarded_free(&u);
        guarded_free(&v);
        for (int k = 0; k < 6; k++)
            guarded_free(&in[k / 3][k % 3]);
    }
}

/* Return memory for words, of which all are random within +-limit. */
static guarded random_words(size_t n, int limit) {
    guarded g = guarded_new(n * sizeof(int16_t));
    for (size_t i = 0; i < n; i++)
        ((int16_t *)(void *)g.data)[i] = (int16_t)random_between(-limit, limit);
    return g;
}

static void check_guide_fit(const cgt_kernels *r, size_t n) {
    const int radius = random_between(1, 20);
    const size_t plane = n + 2 * (size_t)radius + 1;
    guarded added = random_words(CGT_GUIDE_PLANES * n, 128);
    guarded removed = random_words(CGT_GUIDE_PLANES * n, 128);
    const int16_t *rows[2] = {(int16_t *)(void *)added.data, (int16_t *)(void *)removed.data};
    int32_t *sums[2];
    int32_t *windows[2];
    int16_t *out[2];
    for (int i = 0; i < 2; i++) {
        sums[i] = calloc(CGT_GUIDE_SUMS * plane, sizeof **sums);
        windows[i] = calloc(CGT_GUIDE_SUMS * plane, sizeof **windows);
        out[i] = calloc(CGT_GUIDE_PLANES * n, sizeof **out);
        CHECK(sums[i] && windows[i] && out[i]);
        const cgt_kernels *k = i ? r : ref;
        k->guide_accumulate(rows[0], rows[1], n, n, sums[i] + radius + 1, plane);
        k->guide_accumulate_coefficients(rows[1], rows[0], n, n, sums[i] + radius + 1, plane);
        for (size_t p = 0; p < CGT_GUIDE_SUMS; p++)
            k->box_sums(sums[i] + p * plane, n, 2 * (size_t)radius + 1, windows[i] + p * plane);
    }
    expect_equal(r->name, "guide_accumulate", sums[0], sums[1],
                 CGT_GUIDE_SUMS * plane * sizeof **sums);
    expect_equal(r->name, "box_sums", windows[0], windows[1],
                 CGT_GUIDE_SUMS * plane * sizeof **windows);
    guarded areas = guarded_new(n * sizeof(float));
    float *area = (float *)(void *)areas.data;
    for (size_t i = 0; i < n; i++)
        area[i] = 1.0f / (float)random_between(1, 500);
    const cgt_regularization e = {{3, 1, 1, 4, 1, 5}, {3, 3.5f, 4}};
    for (int i = 0; i < 2; i++) {
        const cgt_kernels *k = i ? r : ref;
        k->guide_solve(windows[0], plane, n, area, &e, out[i], n);
        k->guide_mean(windows[0], NULL, n, area, 0.7f, out[i] + 4 * n);
        k->guide_mean(windows[0], rows[0], n, area, 0.7f, out[i] + 5 * n);
        k->guide_detail(rows[0], rows[1], n, 0.7f, out[i] + 6 * n);
    }
    expect_equal(r->name, "guide_solve", out[0], out[1], CGT_GUIDE_PLANES * n * sizeof **out);
    for (int i = 0; i < 2; i++) {
        free(sums[i]);
        free(windows[i]);
        free(out[i]);
    }
    guarded_free(&areas);
    guarded_free(&added);
    guarded_free(&removed);
}

static void check_guide_apply(const cgt_kernels *r, size_t n, int outputs) {
    const size_t plane = n + SLACK;
    guarded upper = random_words(CGT_GUIDE_PLANES * plane, CGT_MAX_COEFFICIENT);
    guarded lower = random_words(CGT_GUIDE_PLANES * plane, CGT_MAX_COEFFICIENT);
    const cgt_guide_rows rows = {(int16_t *)(void *)upper.data, (int16_t *)(void *)lower.data,
                                 plane, (int16_t)random_between(0, 32767)};
    guarded bytes[3];
    const uint8_t *in[3];
    uint8_t *in_place[3];
    uint8_t expected[3][MAX_LENGTH];
    uint8_t *const to_expected[3] = {expected[0], expected[1], expected[2]};
    for (int k = 0; k < 3; k++) {
        bytes[k] = guarded_new(n);
        fill_random(bytes[k].data, n);
        in[k] = in_place[k] = bytes[k].data;
    }
    ref->guide_apply[outputs](&rows, in, n, to_expected);
    r->guide_apply[outputs](&rows, in, n, in_place);
    for (int o = 0; o < outputs; o++)
        expect_equal(r->name, "guide_apply", expected[o], in_place[o], n);
    for (int k = 0; k < 3; k++)
        guarded_free(&bytes[k]);
    guarded_free(&upper);
    guarded_free(&lower);
}

static void check_chroma_rows(const cgt_kernels *r, size_t n) {
    const size_t half = (n + 1) / 2;
    guarded in[2];
    guarded out[3];
    for (int i = 0; i < 3; i++)
        out[i] = guarded_new(i < 2 ? half : 2 * half);
    for (int i = 0; i < 2; i++) {
        in[i] = guarded_new(2 * half);
        fill_random(in[i].data, in[i].size);
    }
    uint8_t a[MAX_LENGTH + 1];
    uint8_t b[MAX_LENGTH + 1];
    const uint8_t *top = in[0].data + (2 * half - n); /* n bytes that end at the page */
    const uint8_t *bottom = in[1].data + (2 * half - n);
    ref->block_means(top, bottom, n, a);
    r->block_means(top, bottom, n, out[0].data);
    expect_equal(r->name, "block_means", a, out[0].data, half);
    ref->split_pairs(in[0].data, half, a, b);
    r->split_pairs(in[0].data, half, out[0].data, out[1].data);
    expect_equal(r->name, "split_pairs", a, out[0].data, half);
    expect_equal(r->name, "split_pairs", b, out[1].data, half);
    ref->join_pairs(out[1].data, out[0].data, half, a);
    r->join_pairs(out[1].data, out[0].data, half, out[2].data);
    expect_equal(r->name, "join_pairs", a, out[2].data, 2 * half);
    ref->repeat(out[0].data, half, a);
    r->repeat(out[0].data, half, out[2].data);
    expect_equal(r->name, "repeat", a, out[2].data, 2 * half);
    for (int i = 0; i < 3; i++)
        guarded_free(&out[i]);
    for (int i = 0; i < 2; i++)
        guarded_free(&in[i]);
}

static void check_interpolate(const cgt_kernels *r, size_t n) {
    static cgt_interpolation table;
    const int small = random_between(1, 400);
    guarded in = random_words((size_t)small + CGT_GUIDE_SLACK, CGT_MAX_COEFFICIENT);
    int16_t a[CGT_GUIDE_CHUNK + SLACK];
    int16_t b[CGT_GUIDE_CHUNK + SLACK];
    cgt_interpolate_columns(&table, random_between(0, 300), n, random_between(1, 2), small,
                            random_between(300 + (int)n, 2000));
    ref->interpolate((int16_t *)(void *)in.data, &table, a);
    r->interpolate((int16_t *)(void *)in.data, &table, b);
    expect_equal(r->name, "interpolate", a, b, n * sizeof *a);
    guarded_free(&in);
}

int main(void) {
    static const int channels[] = {1, 3, 4};
    for (const cgt_kernels *const *r = cgt_kernels_available(); *r; r++) {
        for (size_t n = 1; n <= MAX_LENGTH; n++) {
            check_vertical_passes(*r, n);
            check_float_conversions(*r, n);
            check_yuv_to_rgb(*r, n, 1);
            check_yuv_to_rgb(*r, n, 2);
            check_rgb_to_yuv(*r, n, 1);
            check_rgb_to_yuv(*r, n, 2);
            check_chroma_rows(*r, n);
            check_guide_fit(*r, n);
            check_interpolate(*r, n);
            for (int outputs = 1; outputs <= 3; outputs++)
                check_guide_apply(*r, n, outputs);
            for (int c = 0; c < 3; c++) {
                check_horizontal_pass(*r, channels[c]);
                check_interleaving(*r, n, channels[c]);
            }
        }
        printf("%s equals scalar\n", (*r)->name);
    }
    return 0;
}
