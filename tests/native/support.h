/* Helpers of the C tests: memory that ends at an inaccessible page, a random number
 * generator, and a hash. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #condition);               \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

typedef struct {
    uint8_t *data; /* `size` bytes, which end at the end of a page */
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
static uint64_t random_state = 0x9e3779b97f4a7c15u;

static inline uint32_t random_u32(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545f4914f6cdd1du) >> 32);
}

/* Return a random integer of low..high. */
static inline int random_between(int low, int high) {
    return low + (int)(random_u32() % (uint32_t)(high - low + 1));
}

static inline void fill_random(uint8_t *data, size_t size) {
    const int kind = random_between(0, 3); /* extreme values overshoot most */
    for (size_t i = 0; i < size; i++)
        data[i] = kind ? (uint8_t)random_u32() : (uint8_t)(random_u32() % 2 * 255);
}

/* Return the FNV-1a hash. */
static inline uint64_t fnv1a(const uint8_t *data, size_t size) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ data[i]) * 0x100000001b3u;
    return h;
}

#endif
