/* Which row functions this CPU runs. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

const cgt_rows *const *cgt_rows_available(void) {
#if defined(__x86_64__)
    static const cgt_rows *const with_avx512[] = {&cgt_rows_avx512, &cgt_rows_avx2,
                                                  &cgt_rows_scalar, NULL};
    static const cgt_rows *const with_avx2[] = {&cgt_rows_avx2, &cgt_rows_scalar, NULL};
    static const cgt_rows *const plain[] = {&cgt_rows_scalar, NULL};
    __builtin_cpu_init();
    /* Every CPU with AVX2 has F16C; the builtin does not know its name in all compilers. */
    if (!__builtin_cpu_supports("avx2"))
        return plain;
    /* VBMI, bytes shuffled across the register: Ice Lake, Zen 4 and newer. */
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi"))
        return with_avx512;
    return with_avx2;
#elif defined(__aarch64__)
    static const cgt_rows *const all[] = {&cgt_rows_neon, &cgt_rows_scalar, NULL};
    return all;
#else
    static const cgt_rows *const all[] = {&cgt_rows_scalar, NULL};
    return all;
#endif
}

const cgt_rows *cgt_rows_current(void) {
    /* Two threads may both find it unset; they then store the same pointer. */
    static _Atomic(const cgt_rows *) current;
    const cgt_rows *rows = atomic_load_explicit(&current, memory_order_acquire);
    if (rows)
        return rows;
    const char *wanted = getenv("CGT_SIMD"); /* NOLINT(concurrency-mt-unsafe): read only */
    for (const cgt_rows *const *r = cgt_rows_available(); *r; r++) {
        if (!wanted || !*wanted || strcmp(wanted, (*r)->name) == 0) {
            atomic_store_explicit(&current, *r, memory_order_release);
            return *r;
        }
    }
    return NULL;
}

const char *cgt_simd(void) {
    const cgt_rows *rows = cgt_rows_current();
    return rows ? rows->name : NULL;
}
