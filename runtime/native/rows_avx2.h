/* What the AVX-512 table borrows from the AVX2 one. */
#ifndef CGT_ROWS_AVX2_H
#define CGT_ROWS_AVX2_H

#include "internal.h"

void cgt_avx2_sums_1(const cgt_axis *axis, const int16_t *weights, const int16_t *in,
                      int32_t *out, size_t plane);
void cgt_avx2_merge_4(const uint8_t *const *planes, size_t n, uint8_t *out);

#endif
