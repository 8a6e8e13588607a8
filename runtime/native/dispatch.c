/* Selection of the row functions by CPU. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

const cgt_kernels *const *cgt_kernels_available(void) {
#if defined(__x86_64__)
    static const cgt_kernels *const with_avx512[] = {&cgt_kernels_avx512, &cgt_kernels_avx2,
                                                     &cgt_kernels_scalar, NULL};
    static const cgt_kernels *const with_avx2[] = {&cgt_kernels_avx2, &cgt_kernels_scalar, NULL};
    static const cgt_kernels *const plain[] = {&cgt_kernels_scalar, NULL};
    __builtin_cpu_init();
    /* Every CPU with AVX2 has F16C, whose name not every compiler's builtin knows. */
    if (!__builtin_cpu_supports("avx2"))
        return plain;
    /* VBMI shuffles bytes across the whole register: Ice Lake, Zen 4 and newer. */
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi"))
        return with_avx512;
    return with_avx2;
#elif defined(__aarch64__)
    static const cgt_kernels *const all[] = {&cgt_kernels_neon, &cgt_kernels_scalar, NULL};
    return all;
#else
    static const cgt_kernels *const all[] = {&cgt_kernels_scalar, NULL};
    return all;
#endif
}

const cgt_kernels *cgt_kernels_current(void) {
    /* If two threads find it unset, both store the same pointer. */
    static _Atomic(const cgt_kernels *) current;
    const cgt_kernels *kernels = atomic_load_explicit(&current, memory_order_acquire);
    if (kernels)
        return kernels;
    const char *wanted = getenv("CGT_SIMD"); /* NOLINT(concurrency-mt-unsafe): read only */
    for (const cgt_kernels *const *r = cgt_kernels_available(); *r; r++) {
        if (!wanted || !*wanted || strcmp(wanted, (*r)->name) == 0) {
            atomic_store_explicit(&current, *r, memory_order_release);
            return *r;
        }
    }
    return NULL;
}

const char *cgt_simd(void) {
    const cgt_kernels *kernels = cgt_kernels_current();
    return kernels ? kernels->name : NULL;
}
