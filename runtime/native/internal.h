/* Shared by the library's own files; not installed. */
#ifndef CGT_INTERNAL_H
#define CGT_INTERNAL_H

#include "cgt.h"

enum { CGT_MAX_SIDE = 32768 }; /* a row of 4-channel floats stays < 2^31 bytes */

/* One axis of a separable filter: output o is the sum over i < count[o] of
 * weights[o * taps + i] * input[first[o] + i]. */
typedef struct {
    int in, out, taps;
    int *first, *count;
    float *weights;
} cgt_axis;

struct cgt_plan {
    cgt_axis x, y;
};

#endif
