/* What the C tests share: memory that ends where a page may not be touched, a
 * random number generator, and cases made of random numbers. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

typedef struct {
    uint8_t *data; /* `size` bytes, the last of them the last of a page */
    uint8_t *map;
    size_t size, mapped;
} guarded;

static inline guarded guarded_new(size_t size) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g = {.size = size, .mapped = (size + page - 1) / page * page + 2 * page};
    g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(g.map != MAP_FAILED);
    CHECK(mprotect(g.map, page, PROT_NONE) == 0);
    CHECK(mprotect(g.map + g.mapped - page, page, PROT_NONE) == 0);
    g.data = g.map + g.mapped - page - size;
    return g;
}

static inline void guarded_free(guarded *g) {
    munmap(g->map, g->mapped);
}

/* xorshift64*; G. Marsaglia, S. Vigna. */
static uint64_t state = 0x9e3779b97f4a7c15u;

static inline uint32_t rnd(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545f4914f6cdd1du) >> 32);
}

/* low..high */
static inline int between(int low, int high) {
    return low + (int)(rnd() % (uint32_t)(high - low + 1));
}

static inline void fill(uint8_t *data, size_t size) {
    const int kind = between(0, 3); /* extremes overshoot most */
    for (size_t i = 0; i < size; i++)
        data[i] = kind ? (uint8_t)rnd() : (uint8_t)(rnd() % 2 * 255);
}

/* FNV-1a */
static inline uint64_t hash(const uint8_t *data, size_t size) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ data[i]) * 0x100000001b3u;
    return h;
}

#endif
