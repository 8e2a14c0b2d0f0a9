/* A PKCS#11 library that passes every call on to SoftHSM, and misbehaves as a file says.
   $PKCS11_FAULT names the file; it holds the number of a CKR_ code to give, or "hang". */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUNCTIONS 68
#define OPEN_SESSION 12
#define CLOSE_SESSION 13
#define LOGIN 18
typedef unsigned long (*function)(void *, void *, void *, void *, void *, void *, void *, void *);
struct list { unsigned char version[2]; function f[FUNCTIONS]; };
static struct list own, *real;
/* how often sessions were opened, less how often they were closed; tests read it */
long open_sessions;
/* how many calls are inside, and how many there were at once */
long calls_inside, calls_at_once;

static unsigned long fault(int number) {
    char said[32] = "", *end; int only = -1;
    for (;;) {
        FILE *file = fopen(getenv("PKCS11_FAULT"), "r");
        if (!file) return 0;
        size_t size = fread(said, 1, sizeof said - 1, file);
        fclose(file);
        said[size] = 0;
        if (strncmp(said, "hang", 4)) break;
        usleep(10000);
    }
    unsigned long code = strtoul(said, &end, 0);
    if (*end == '@') only = atoi(end + 1);
    return only < 0 || only == number ? code : 0;
}

#define WRAP(n) static unsigned long w##n(void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h) { \
    long inside = __sync_add_and_fetch(&calls_inside, 1); \
    if (inside > calls_at_once) calls_at_once = inside; \
    unsigned long code = fault(n); \
    if (!code) code = real->f[n](a, b, c, d, e, f, g, h); \
    if (!code && (n == OPEN_SESSION || n == CLOSE_SESSION)) open_sessions += n == OPEN_SESSION ? 1 : -1; \
    __sync_sub_and_fetch(&calls_inside, 1); \
    return code; }
#define TEN(x) WRAP(x##0) WRAP(x##1) WRAP(x##2) WRAP(x##3) WRAP(x##4) WRAP(x##5) WRAP(x##6) WRAP(x##7) WRAP(x##8) WRAP(x##9)
WRAP(4) WRAP(5) WRAP(6) WRAP(7) WRAP(8) WRAP(9) TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) WRAP(60) WRAP(61) WRAP(62)
#define SET(n) own.f[n] = w##n;
#define SETTEN(x) SET(x##0) SET(x##1) SET(x##2) SET(x##3) SET(x##4) SET(x##5) SET(x##6) SET(x##7) SET(x##8) SET(x##9)

unsigned long C_GetFunctionList(void **out) {
    void *library = dlopen(getenv("PKCS11_REAL"), RTLD_NOW | RTLD_LOCAL);
    unsigned long (*get)(struct list **) = library ? dlsym(library, "C_GetFunctionList") : 0;
    if (!get || get(&real)) return 5;
    own = *real;
    SET(4) SET(5) SET(6) SET(7) SET(8) SET(9) SETTEN(1) SETTEN(2) SETTEN(3) SETTEN(4) SETTEN(5) SET(60) SET(61) SET(62)
    *out = &own;
    return 0;
}
