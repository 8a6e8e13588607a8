/* Each row function of each instruction set against the scalar one: all lengths
 * up to some hundreds, any alignment, rows that end at an unmapped page. */
#include "internal.h"
#include "support.h"

enum { LONGEST = 300, TAPS = 26, ROOM = 64 };

static const cgt_rows *const ref = &cgt_rows_scalar;

static void same(const char *set, const char *function, const void *a, const void *b, size_t size) {
    if (memcmp(a, b, size) != 0) {
        fprintf(stderr, "%s: %s differs from scalar\n", set, function);
        exit(1);
    }
}

static void columns_and_blend(const cgt_rows *r, size_t n) {
    const int taps = between(1, TAPS / 2) * 2;
    guarded rows[TAPS];
    const uint8_t *pointers[TAPS];
    int16_t weights[TAPS];
    int32_t exact[TAPS];
    for (int k = 0; k < taps; k++) {
        rows[k] = guarded_new(n);
        fill(rows[k].data, n);
        pointers[k] = rows[k].data;
        /* so that sums stay within 31 bits and, shifted, within 15 */
        weights[k] = (int16_t)between(-8000 / taps, 60000 / taps < 32767 ? 60000 / taps : 32767);
        exact[k] = between(-900000 / taps, 5000000 / taps);
    }
    const int shift = between(9, 12);
    int16_t a[LONGEST + ROOM];
    int16_t b[LONGEST + ROOM];
    ref->columns(pointers, taps, weights, shift, n, a);
    r->columns(pointers, taps, weights, shift, n, b);
    same(r->name, "columns", a, b, n * sizeof *a);
    guarded out = guarded_new(n);
    uint8_t bytes[LONGEST];
    ref->blend(pointers, taps - 1, exact, n, bytes);
    r->blend(pointers, taps - 1, exact, n, out.data);
    same(r->name, "blend", bytes, out.data, n);
    guarded_free(&out);
    for (int k = 0; k < taps; k++)
        guarded_free(&rows[k]);
}

static void sums(const cgt_rows *r, int channels) {
    const int in = between(1, 200);
    const int out = between(1, 150);
    cgt_plan *plan = NULL;
    CHECK(cgt_plan_create(&plan, in, in, out, out, (cgt_filter)between(0, 4), NULL) == CGT_OK);
    const cgt_axis *axis = &plan->x;
    const size_t plane = ((size_t)out + CGT_LANES - 1) / CGT_LANES * CGT_LANES;
    const size_t size = ((size_t)in + (size_t)axis->taps) * (size_t)channels + ROOM;
    int16_t *columns = malloc(size * sizeof *columns);
    int32_t *a = calloc(plane * 4, sizeof *a);
    int32_t *b = calloc(plane * 4, sizeof *b);
    CHECK(columns && a && b);
    /* Column sums for the weights of pack; bytes for the halves of Pillow's. */
    const int16_t *const tables[] = {axis->weights, axis->low, axis->high};
    int32_t low[256];
    const size_t n = (size_t)out;
    for (int t = 0; t < 3; t++) {
        for (size_t i = 0; i < size; i++)
            columns[i] = (int16_t)(t == 0 ? between(-5000, 20000) : between(0, 255));
        if (t == 2)
            memcpy(low, a, n * sizeof *low);
        ref->sums[channels](axis, tables[t], columns, a, plane);
        r->sums[channels](axis, tables[t], columns, b, plane);
        for (int c = 0; c < channels; c++)
            same(r->name, "sums", a + (size_t)c * plane, b + (size_t)c * plane, n * sizeof *a);
    }
    uint8_t narrow_a[256];
    uint8_t narrow_b[256];
    ref->narrow(a, low, n, narrow_a);
    r->narrow(a, low, n, narrow_b);
    same(r->name, "narrow", narrow_a, narrow_b, n);
    float scaled_a[256];
    guarded scaled = guarded_new(n * sizeof(float));
    ref->scale(a, n, 255 << 16, 0.01f, -1.3f, scaled_a);
    r->scale(a, n, 255 << 16, 0.01f, -1.3f, (float *)(void *)scaled.data);
    same(r->name, "scale", scaled_a, scaled.data, n * sizeof(float));
    guarded_free(&scaled);
    free(columns);
    free(a);
    free(b);
    cgt_plan_destroy(plan);
}

static void split_and_merge(const cgt_rows *r, size_t n, int channels) {
    const size_t c = (size_t)channels;
    guarded in = guarded_new(n * c);
    fill(in.data, in.size);
    static const float scale[4] = {1 / 127.5f, 0.0171f, 3.0f, -0.3f};
    static const float offset[4] = {-1.0f, -2.1f, 0.1f, 7.0f};
    static float a[4][LONGEST];
    float *const to_a[4] = {a[0], a[1], a[2], a[3]};
    guarded floats[4];
    float *to_b[4] = {NULL};
    for (size_t i = 0; i < c; i++) {
        floats[i] = guarded_new(n * sizeof(float));
        to_b[i] = (float *)(void *)floats[i].data;
    }
    ref->split[channels](in.data, n, scale, offset, to_a);
    r->split[channels](in.data, n, scale, offset, to_b);
    for (size_t i = 0; i < c; i++) {
        same(r->name, "split", a[i], to_b[i], n * sizeof(float));
        guarded_free(&floats[i]);
    }

    guarded planes[4];
    const uint8_t *pointers[4];
    for (size_t i = 0; i < c; i++) {
        planes[i] = guarded_new(n);
        fill(planes[i].data, n);
        pointers[i] = planes[i].data;
    }
    uint8_t merged[4 * LONGEST];
    ref->merge[channels](pointers, n, merged);
    r->merge[channels](pointers, n, in.data);
    same(r->name, "merge", merged, in.data, in.size);
    for (size_t i = 0; i < c; i++)
        guarded_free(&planes[i]);
    guarded_free(&in);

    guarded bytes = guarded_new(n);
    fill(bytes.data, n);
    int16_t wide_a[LONGEST];
    int16_t wide_b[LONGEST];
    ref->widen(bytes.data, n, wide_a);
    r->widen(bytes.data, n, wide_b);
    same(r->name, "widen", wide_a, wide_b, n * sizeof *wide_a);
    guarded_free(&bytes);
}

/* Floats of any bits: NaN, infinities, subnormals; and values around what rounds. */
static void floats(const cgt_rows *r, size_t n) {
    guarded in = guarded_new(n * sizeof(float));
    float *f = (float *)(void *)in.data;
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = rnd();
        switch (rnd() % 4) {
        case 0: memcpy(f + i, &bits, sizeof bits); break;
        case 1: f[i] = (float)between(-10, 521) / 255.0f - 1.0f; break;
        case 2: f[i] = (float)between(-70000, 70000) * 0x1p-25f; break;
        default: f[i] = (float)between(-3000, 3000) / 2500.0f; break;
        }
    }
    guarded out = guarded_new(n);
    uint8_t bytes[LONGEST];
    ref->quantise(f, n, bytes);
    r->quantise(f, n, out.data);
    same(r->name, "quantise", bytes, out.data, n);
    ref->truncate(f, n, bytes);
    r->truncate(f, n, out.data);
    same(r->name, "truncate", bytes, out.data, n);
    guarded_free(&out);

    guarded halves = guarded_new(n * sizeof(uint16_t));
    uint16_t *h = (uint16_t *)(void *)halves.data;
    uint16_t half[LONGEST];
    ref->to_half(f, n, half);
    r->to_half(f, n, h);
    same(r->name, "to_half", half, h, halves.size);
    for (size_t i = 0; i < n; i++)
        h[i] = (uint16_t)rnd();
    float back[LONGEST];
    ref->from_half(h, n, back);
    r->from_half(h, n, f);
    same(r->name, "from_half", back, f, in.size);
    guarded_free(&halves);
    guarded_free(&in);
}

static void yuv(const cgt_rows *r, size_t n, int step) {
    static const int16_t k[6] = {16, 9539, 7343, -873, -2183, 8652};
    const size_t half = (n + 1) / 2;
    guarded y = guarded_new(n);
    guarded u = guarded_new(half * (size_t)step);
    guarded v = guarded_new(half);
    fill(y.data, y.size);
    fill(u.data, u.size);
    fill(v.data, v.size);
    const uint8_t *second = step == 2 ? u.data + 1 : v.data;
    uint8_t a[3][LONGEST];
    uint8_t b[3][LONGEST];
    uint8_t *const to_a[3] = {a[0], a[1], a[2]};
    uint8_t *const to_b[3] = {b[0], b[1], b[2]};
    ref->yuv(y.data, u.data, second, step, n, k, to_a);
    r->yuv(y.data, u.data, second, step, n, k, to_b);
    for (int c = 0; c < 3; c++)
        same(r->name, "yuv", a[c], b[c], n);
    guarded_free(&y);
    guarded_free(&u);
    guarded_free(&v);
}

int main(void) {
    static const int channels[] = {1, 3, 4};
    for (const cgt_rows *const *r = cgt_rows_available(); *r; r++) {
        for (size_t n = 1; n <= LONGEST; n++) {
            columns_and_blend(*r, n);
            floats(*r, n);
            yuv(*r, n, 1);
            yuv(*r, n, 2);
            for (int c = 0; c < 3; c++) {
                sums(*r, channels[c]);
                split_and_merge(*r, n, channels[c]);
            }
        }
        printf("%s equals scalar\n", (*r)->name);
    }
    return 0;
}
