/* A heated vessel as an FMU: T' = gain u - loss (T - ambient), u in 0..1, by Euler steps of a tenth of the communication step.
   Without FMI's headers, so that the binding is tried against the standard's words and not against its own.  -DFMI=2 or 3; -DBAD=... */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GOOD 0
#define CRASHES 1
#define HANGS 2
#define LEAKS 3
#define CALLS_HOME 4
#define READS_SECRETS 5
#define STARTS_PROGRAMS 6
#define FORGETS 7
#define REFUSES 8
#define GIVES_NONSENSE 9
#define WRITES_ANSWERS 10
#ifndef BAD
#define BAD GOOD
#endif
#define TOKEN "heater-1"
typedef struct { double T, u, gain, loss, ambient; int on; int steps; } heater;
typedef void (*logger2)(void*, const char*, int, const char*, const char*, ...);
typedef void (*logger3)(void*, int, const char*, const char*);

#if BAD == CALLS_HOME || BAD == READS_SECRETS || BAD == STARTS_PROGRAMS
__attribute__((constructor)) static void loaded(void) {
#if BAD == CALLS_HOME
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0) _exit(0);
#elif BAD == READS_SECRETS
    if (fopen("/etc/passwd", "r")) _exit(0);
#else
    if (fork() >= 0) _exit(0);
    char *words[] = {"sh", NULL};
    execv("/bin/sh", words);
#endif
}
#endif

static void fresh(heater *h) { memset(h, 0, sizeof *h); h->T = 20; h->gain = 2; h->loss = 0.02; h->ambient = 20; h->on = 1; }
static int set_real(heater *h, const uint32_t *r, size_t n, const double *v) {
    for (size_t i = 0; i < n; i++) switch (r[i]) {
        case 1: h->T = v[i]; break;
        case 2: h->u = v[i]; break;
        case 3: h->gain = v[i]; break;
        case 4: h->loss = v[i]; break;
        default: return 3;
    }
    return 0;
}
static int get_real(heater *h, const uint32_t *r, size_t n, double *v) {
    for (size_t i = 0; i < n; i++) switch (r[i]) {
        case 1: v[i] = h->T; break;
        case 5: v[i] = h->on ? h->gain * h->u : 0; break;
        default: return 3;
    }
    return 0;
}
static int step(heater *h, double dt) {
    h->steps++;
#if BAD == CRASHES
    *(volatile int *)8 = 1;
#elif BAD == HANGS
    for (volatile int i = 0;; i++) {}
#elif BAD == LEAKS
    for (;;) { char *p = malloc(1 << 24); if (!p) return 4; memset(p, 1, 1 << 24); }
#elif BAD == REFUSES
    if (h->steps > 3) return 3;
#elif BAD == GIVES_NONSENSE
    h->T = 0.0 / 0.0;
#elif BAD == WRITES_ANSWERS
    for (int fd = 3; fd < 16; fd++) if (write(fd, "DONE and all is well", 20)) {}
    _exit(0);
#endif
    for (int i = 0; i < 10; i++) h->T += dt / 10 * ((h->on ? h->gain * h->u : 0) - h->loss * (h->T - h->ambient));
    return 0;
}
static int keep(heater *h, void **state) { if (!*state) *state = malloc(sizeof *h); memcpy(*state, h, sizeof *h); return 0; }
static int put_back(heater *h, void *state) {
    memcpy(h, state, sizeof *h);
#if BAD == FORGETS
    h->T += 1e-9;
#endif
    return 0;
}
static int forget(void **state) { free(*state); *state = NULL; return 0; }

#if FMI == 2
typedef struct { logger2 log; void *(*calloc)(size_t, size_t); void (*free)(void *); void *finished, *environment; } callbacks;
void *fmi2Instantiate(const char *name, int type, const char *guid, const char *where, const callbacks *c, int visible, int logging) {
    if (type != 1 || strcmp(guid, TOKEN) || strncmp(where, "file:///", 8)) {
        c->log(c->environment, name, 3, "error", "guid %s is not mine", guid);
        return NULL;
    }
    heater *h = c->calloc(1, sizeof *h);
    fresh(h);
    return h;
}
int fmi2SetupExperiment(void *h, int td, double t, double begin, int sd, double stop) { return begin != 0; }
int fmi2EnterInitializationMode(void *h) { return 0; }
int fmi2ExitInitializationMode(void *h) { return 0; }
int fmi2Reset(void *h) { fresh(h); return 0; }
int fmi2SetReal(void *h, const uint32_t *r, size_t n, const double *v) { return set_real(h, r, n, v); }
int fmi2SetBoolean(void *h, const uint32_t *r, size_t n, const int *v) { if (n != 1 || *r != 6) return 3; ((heater *)h)->on = *v; return 0; }
int fmi2GetReal(void *h, const uint32_t *r, size_t n, double *v) { return get_real(h, r, n, v); }
int fmi2DoStep(void *h, double t, double dt, int no_way_back) { return step(h, dt); }
int fmi2GetFMUstate(void *h, void **s) { return keep(h, s); }
int fmi2SetFMUstate(void *h, void *s) { return put_back(h, s); }
int fmi2FreeFMUstate(void *h, void **s) { return forget(s); }
int fmi2Terminate(void *h) { return 0; }
void fmi2FreeInstance(void *h) { free(h); }
/* what FMPy binds when it loads a library, whether it is used or not */
#define UNUSED(name) int fmi2##name(void) { return 3; }
UNUSED(GetTypesPlatform) UNUSED(GetVersion) UNUSED(SetDebugLogging) UNUSED(GetInteger) UNUSED(GetBoolean) UNUSED(GetString)
UNUSED(SetInteger) UNUSED(SetString) UNUSED(SerializedFMUstateSize) UNUSED(SerializeFMUstate) UNUSED(DeSerializeFMUstate)
UNUSED(GetDirectionalDerivative) UNUSED(SetRealInputDerivatives) UNUSED(GetRealOutputDerivatives) UNUSED(CancelStep)
UNUSED(GetStatus) UNUSED(GetRealStatus) UNUSED(GetIntegerStatus) UNUSED(GetBooleanStatus) UNUSED(GetStringStatus)
#else
void *fmi3InstantiateCoSimulation(const char *name, const char *token, const char *where, bool visible, bool logging, bool events, bool early,
                                  const uint32_t *between, size_t n, void *environment, logger3 log, void *update) {
    if (strcmp(token, TOKEN) || where[strlen(where) - 1] != '/' || events || early) { log(environment, 3, "error", "that is not mine"); return NULL; }
    heater *h = malloc(sizeof *h);
    fresh(h);
    return h;
}
int fmi3EnterInitializationMode(void *h, bool td, double t, double begin, bool sd, double stop) { return begin != 0; }
int fmi3ExitInitializationMode(void *h) { return 0; }
int fmi3Reset(void *h) { fresh(h); return 0; }
int fmi3SetFloat64(void *h, const uint32_t *r, size_t n, const double *v, size_t nv) { return n != nv ? 3 : set_real(h, r, n, v); }
int fmi3SetBoolean(void *h, const uint32_t *r, size_t n, const bool *v, size_t nv) { if (n != 1 || *r != 6) return 3; ((heater *)h)->on = *v; return 0; }
int fmi3GetFloat64(void *h, const uint32_t *r, size_t n, double *v, size_t nv) { return n != nv ? 3 : get_real(h, r, n, v); }
int fmi3DoStep(void *h, double t, double dt, bool no_way_back, bool *events, bool *ends, bool *early, double *last) {
    *events = *ends = *early = false;
    *last = t + dt;
    return step(h, dt);
}
int fmi3GetFMUState(void *h, void **s) { return keep(h, s); }
int fmi3SetFMUState(void *h, void *s) { return put_back(h, s); }
int fmi3FreeFMUState(void *h, void **s) { return forget(s); }
#endif
