/* Row functions of AVX2 that the AVX-512 table also uses. */
#ifndef CGT_ROWS_AVX2_H
#define CGT_ROWS_AVX2_H

#include "internal.h"

void cgt_avx2_horizontal_pass_1(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                                int32_t *out, size_t plane);
void cgt_avx2_interleave_4(const uint8_t *const *planes, size_t n, uint8_t *out);

void cgt_avx2_yuv_to_rgb(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step, size_t n,
                         const int16_t k[6], uint8_t *const rgb[3]);

void cgt_avx2_rgb_to_chroma(const uint8_t *const top[3], const uint8_t *const bottom[3], size_t n,
                            const cgt_yuv_weights *weights, int step, uint8_t *u, uint8_t *v);

#endif
