/* A SIMULATION of the CUDA driver over host memory, for tests on machines without a GPU: the real
 * pycuda runs on it. It computes nothing and says nothing about speed.
 *
 * It is stricter than a GPU where mistakes would only show now and then: a stream does its work
 * only when it is waited for, asynchronous copies take pinned memory only, copies
 * have to lie within an allocation, and every call needs a current context. Allocating or freeing
 * memory makes a capture invalid, as does a call on the legacy stream while a stream captures that
 * waits for it.
 *
 * Tests make it fail with the functions simulated_*.
 *
 * Prototypes after the CUDA Driver API reference; functions that are not defined here return
 * "not supported" (install.sh adds them).
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400, ILLEGAL_ADDRESS = 700, CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901, CAPTURE_IMPLICIT = 906
};
enum { NON_BLOCKING_STREAM = 1, BLOCKING_SYNC_EVENT = 1 };

typedef struct event event;
typedef struct graph graph;
typedef void (*host_function)(void *);

typedef struct operation {
    void *target;
    const void *source;
    size_t bytes;
    host_function function;
    void *argument;
    event *mark;
    graph *launched;
    struct operation *next;
} operation;

struct graph { operation *first, *last; };
typedef struct { graph work; graph *capture; unsigned flags; int invalid; } stream;
struct event { stream *on; double at; unsigned flags; };

typedef struct allocation {
    char *start;
    size_t bytes;
    int pinned;
    struct allocation *next;
} allocation;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static allocation *allocations;
static int live_streams, live_events, live_graphs, retained;
static __thread int depth;
static __thread stream *capturing;
static stream *blocking_capture;  /* a stream that captures and waits for the legacy stream */
static int context, sticky, failing_captures, spinning_waits, blocking_waits;
static int allocations_left = -1;

/* Number of contexts on this thread's stack. */
int simulated_depth(void) { return depth; }
/* Make the next captures fail when they end. */
void simulated_fail_captures(int count) { failing_captures = count; }
/* Run out of memory after this many allocations; -1: never. */
void simulated_allocations_left(int count) { allocations_left = count; }
/* Return this error from every further call that needs a context, as after a crashed kernel. */
void simulated_sticky_error(int code) { sticky = code; }
/* Number of waits for a stream or event since the last call: those that spin, and those that block. */
int simulated_spinning_waits(void) { int n = spinning_waits; spinning_waits = 0; return n; }
int simulated_blocking_waits(void) { int n = blocking_waits; blocking_waits = 0; return n; }
/* A call on the legacy default stream, such as another library's. */
int simulated_legacy_call(void) {
    if (!blocking_capture) return OK;
    blocking_capture->invalid = 1;
    return CAPTURE_IMPLICIT;
}
static int unusable(void) { return depth ? sticky : INVALID_CONTEXT; }

/* Number of objects that are not freed yet: allocations, streams, events, graphs, retained contexts. */
int simulated_live(void) {
    int count = live_streams + live_events + live_graphs + retained;
    pthread_mutex_lock(&lock);
    for (allocation *a = allocations; a; a = a->next) count++;
    pthread_mutex_unlock(&lock);
    return count;
}

static int within(const void *start, size_t bytes, int pinned) {
    int found = 0;
    pthread_mutex_lock(&lock);
    for (allocation *a = allocations; a && !found; a = a->next)
        found = a->pinned == pinned && (const char *)start >= a->start &&
                (const char *)start + bytes <= a->start + a->bytes;
    pthread_mutex_unlock(&lock);
    return found;
}

static int allocate(void **out, size_t bytes, int pinned) {
    if (unusable()) return unusable();
    if (capturing) { capturing->invalid = 1; return CAPTURE_UNSUPPORTED; }
    if (!allocations_left) return OUT_OF_MEMORY;
    if (allocations_left > 0) allocations_left--;
    allocation *a = malloc(sizeof *a);
    a->start = malloc(bytes ? bytes : 1);
    memset(a->start, 0xA5, bytes);  /* not zero, like the memory of a GPU */
    a->bytes = bytes;
    a->pinned = pinned;
    pthread_mutex_lock(&lock);
    a->next = allocations;
    allocations = a;
    pthread_mutex_unlock(&lock);
    *out = a->start;
    return OK;
}

static int release(void *start, int pinned) {
    if (!depth) return INVALID_CONTEXT;
    if (capturing) { capturing->invalid = 1; return CAPTURE_UNSUPPORTED; }
    pthread_mutex_lock(&lock);
    allocation **at = &allocations;
    while (*at && ((*at)->start != start || (*at)->pinned != pinned)) at = &(*at)->next;
    allocation *found = *at;
    if (found) *at = found->next;
    pthread_mutex_unlock(&lock);
    if (!found) return INVALID_VALUE;
    free(found->start);
    free(found);
    return OK;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int enqueue(stream *s, operation op) {
    if (unusable()) return unusable();
    if (s && s->invalid) return CAPTURE_INVALIDATED;
    if (!s) return INVALID_HANDLE;  /* the default stream would serialize all streams */
    operation *o = malloc(sizeof *o);
    *o = op;
    o->next = NULL;
    graph *g = s->capture ? s->capture : &s->work;
    if (g->last) g->last->next = o;
    else g->first = o;
    g->last = o;
    return OK;
}

static void perform(const operation *o) {
    if (o->bytes) memcpy(o->target, o->source, o->bytes);
    if (o->function) o->function(o->argument);
    if (o->mark) o->mark->at = now();
    if (o->launched)
        for (operation *step = o->launched->first; step; step = step->next) perform(step);
}

static void discard(graph *g) {
    for (operation *o = g->first, *next; o; o = next) next = o->next, free(o);
    g->first = g->last = NULL;
}

/* Devices and contexts. */
int cuInit(unsigned flags) { (void)flags; return getenv("CGT_SIMULATED_GPU") ? OK : NO_DEVICE; }
int cuDriverGetVersion(int *out) { *out = 13000; return OK; }
int cuDeviceGetCount(int *out) { *out = 1; return OK; }
int cuDeviceGet(int *out, int index) { *out = index; return index ? INVALID_VALUE : OK; }
int cuDeviceGetName(char *out, int room, int device) {
    (void)device;
    strncpy(out, getenv("CGT_SIMULATED_GPU"), (size_t)room - 1);
    return OK;
}
int cuDeviceGetAttribute(int *out, int attribute, int device) {
    (void)device;
    *out = attribute == 75 ? 8 : attribute == 76 ? 6 : attribute == 16 ? 84 : 0;
    return OK;
}
int cuDevicePrimaryCtxRetain(void **out, int device) { (void)device; retained++; *out = &context; return OK; }
int cuDevicePrimaryCtxRelease_v2(int device) { (void)device; retained--; return OK; }
int cuCtxPushCurrent_v2(void *c) { if (c != &context) return INVALID_CONTEXT; depth++; return OK; }
int cuCtxPopCurrent_v2(void **out) {
    if (!depth) return INVALID_CONTEXT;
    depth--;
    if (out) *out = &context;
    return OK;
}
int cuCtxGetDevice(int *out) { *out = 0; return depth ? OK : INVALID_CONTEXT; }
int cuCtxSynchronize(void) { return OK; }
int cuGetErrorString(int code, const char **out) {
    *out = code == OUT_OF_MEMORY ? "out of memory" : "simulated error";
    return OK;
}

/* Memory. */
int cuMemAlloc_v2(uintptr_t *out, size_t bytes) { return allocate((void **)out, bytes, 0); }
int cuMemFree_v2(uintptr_t start) { return release((void *)start, 0); }
int cuMemHostAlloc(void **out, size_t bytes, unsigned flags) { (void)flags; return allocate(out, bytes, 1); }
int cuMemFreeHost(void *start) { return release(start, 1); }
int cuMemcpyHtoDAsync_v2(uintptr_t to, const void *from, size_t bytes, stream *s) {
    if (!within((void *)to, bytes, 0) || !within(from, bytes, 1)) return ILLEGAL_ADDRESS;
    return enqueue(s, (operation){.target = (void *)to, .source = from, .bytes = bytes});
}
int cuMemcpyDtoHAsync_v2(void *to, uintptr_t from, size_t bytes, stream *s) {
    if (!within((void *)from, bytes, 0) || !within(to, bytes, 1)) return ILLEGAL_ADDRESS;
    return enqueue(s, (operation){.target = to, .source = (void *)from, .bytes = bytes});
}

/* Streams and events. */
int cuStreamCreate(stream **out, unsigned flags) {
    if (unusable()) return unusable();
    *out = calloc(1, sizeof **out);
    (*out)->flags = flags;
    live_streams++;
    return OK;
}
int cuStreamDestroy_v2(stream *s) { discard(&s->work); free(s); live_streams--; return OK; }
static int wait_for(stream *s) {
    if (unusable()) return unusable();
    if (s->capture) { s->invalid = 1; return CAPTURE_UNSUPPORTED; }
    graph work = s->work;
    s->work = (graph){0};
    for (operation *o = work.first; o; o = o->next) perform(o);
    discard(&work);
    return OK;
}
int cuStreamSynchronize(stream *s) { spinning_waits++; return wait_for(s); }
int cuLaunchHostFunc(stream *s, host_function function, void *argument) {
    return enqueue(s, (operation){.function = function, .argument = argument});
}
int cuEventCreate(event **out, unsigned flags) {
    *out = calloc(1, sizeof **out);
    (*out)->flags = flags;
    live_events++;
    return OK;
}
int cuEventDestroy_v2(event *e) { free(e); live_events--; return OK; }
int cuEventRecord(event *e, stream *s) { e->on = s; e->at = 0; return enqueue(s, (operation){.mark = e}); }
int cuEventSynchronize(event *e) {
    if (e->flags & BLOCKING_SYNC_EVENT) blocking_waits++; else spinning_waits++;
    return wait_for(e->on);
}
int cuEventElapsedTime_v2(float *out, event *from, event *to) {
    if (!from->at || !to->at) return INVALID_HANDLE;
    *out = (float)(to->at - from->at);
    return OK;
}

/* Graphs. */
int cuStreamBeginCapture_v2(stream *s, int mode) {
    (void)mode;
    if (unusable()) return unusable();
    s->capture = calloc(1, sizeof *s->capture);
    live_graphs++;
    capturing = s;
    if (!(s->flags & NON_BLOCKING_STREAM)) blocking_capture = s;
    return OK;
}
int cuGraphDestroy(graph *g) { discard(g); free(g); live_graphs--; return OK; }
int cuStreamEndCapture(stream *s, graph **out) {
    int failed = s->invalid || failing_captures > 0;
    *out = s->capture;
    if (!*out) return INVALID_HANDLE;
    if (failing_captures > 0) failing_captures--;
    s->capture = NULL;
    s->invalid = 0;
    capturing = blocking_capture = NULL;
    if (!failed) return OK;
    cuGraphDestroy(*out);
    *out = NULL;
    return CAPTURE_INVALIDATED;
}
int cuGraphInstantiateWithFlags(graph **out, graph *g, unsigned long long flags) {
    (void)flags;
    *out = calloc(1, sizeof **out);
    live_graphs++;
    **out = *g;
    *g = (graph){0};
    return OK;
}
int cuGraphExecDestroy(graph *g) { return cuGraphDestroy(g); }
int cuGraphLaunch(graph *g, stream *s) { return enqueue(s, (operation){.launched = g}); }
