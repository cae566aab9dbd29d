#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for syscall(); cgo may have set it */
#endif
#define CAPI_DEFINES_POINTERS
#include "capi.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

/* ---- the binding ---- */

static void *library;

/* What a pointer leads to when this libpython has no such function, or when
   none is loaded: a message and a Go stack trace, instead of a jump to NULL. */
static _Noreturn void missing(const char *name) {
    fprintf(stderr, library ? "embedpy: this libpython has no %s\n"
                            : "embedpy: %s called before a libpython was loaded\n", name);
    abort();
}

#define V(result, name, params)                                 \
    static result missing_##name params { missing(#name); }     \
    result (*capi_##name) params = missing_##name;
#define F(result, name, params, args) V(result, name, params)
#include "functions.h"
#undef F
#undef V

#define CAPI_OBJECT(name)
#define CAPI_TYPE(name) PyTypeObject *capi_##name;
#include "variables.h"
#undef CAPI_OBJECT
#undef CAPI_TYPE

static const struct { const char *name; void **pointer; } functions[] = {
#define V(result, name, params) {#name, (void **)&capi_##name},
#define F(result, name, params, args) V(result, name, params)
#include "functions.h"
#undef F
#undef V
};

/* None, True and False are macros over these names; the rest are variables
   that hold the object. */
static PyObject *object(const char *name) {
    if (strcmp(name, "Py_None") == 0) return dlsym(library, "_Py_NoneStruct");
    if (strcmp(name, "Py_True") == 0) return dlsym(library, "_Py_TrueStruct");
    if (strcmp(name, "Py_False") == 0) return dlsym(library, "_Py_FalseStruct");
    PyObject **variable = dlsym(library, name);
    return variable ? *variable : NULL;
}

const char *capi_load(const char *path) {
    /* GLOBAL: extension modules find Python's functions in the process. */
    library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library || !dlsym(library, "Py_InitializeFromConfig")) return dlerror();
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *address = dlsym(library, functions[i].name);
        if (address) *functions[i].pointer = address;
    }
#define CAPI_OBJECT(name) name = object(#name);
#define CAPI_TYPE(name) capi_##name = dlsym(library, #name);
#include "variables.h"
    return NULL;
}

/* ---- signals ---- */

static struct sigaction at_start[NSIG];
static sigset_t mask_at_start;

/* Go needs SIGURG: it stops goroutines with it. Python must not see Go's handler, so
   the handler is away while Python starts and looks. (By default SIGURG does nothing.) */
static int is_gos(int sig) { return sig == SIGURG; }
static struct sigaction gos;

static int is_crash(int sig) {
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP ||
           sig == SIGABRT || sig == SIGQUIT || sig == SIGSYS;
}

/* Runs before Go does. It notes how signals are, and blocks them. Go's threads inherit
   this mask, except for the signals that end a program. So the kernel delivers a signal
   to the main thread or to one of Python's, as in any Python program. */
__attribute__((constructor(101))) static void before_go(void) {
    sigset_t block;
    sigfillset(&block);
    for (int sig = 1; sig < NSIG; sig++) {
        sigaction(sig, NULL, &at_start[sig]);
        if (is_crash(sig) || is_gos(sig) || sig == SIGPROF || sig == SIGPIPE) sigdelset(&block, sig);
    }
    pthread_sigmask(SIG_BLOCK, &block, &mask_at_start);
}

void capi_unblock(void) { pthread_sigmask(SIG_SETMASK, &mask_at_start, NULL); }

/* Takes Go's handlers away before Python starts. Python would report a default that Go
   has changed as None, a SIGUSR1 that ends a program would not end it, and a crash would
   print goroutines and end with status 2. GOTRACEBACK keeps Go's report of a crash. */
void capi_restore_signals(void) {
    int keep_crashes = getenv("GOTRACEBACK") != NULL;
    for (int sig = 1; sig < NSIG; sig++)
        if (!(keep_crashes && is_crash(sig))) sigaction(sig, &at_start[sig], is_gos(sig) ? &gos : NULL);
}

/* ---- starting ---- */

/* PEP 587: a struct, of which no field is touched. (PEP 741's names begin as an
   isolated Python, which PYTHONHASHSEED and others do not reach.) */
static int initialize(size_t argc, char *const *argv, char *error, size_t size) {
    static PyConfig config;
    PyConfig_InitPythonConfig(&config);
    PyStatus status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    int failed = PyStatus_Exception(status);
    if (failed)
        snprintf(error, size, "%s%s%s", status.func ? status.func : "", status.func ? ": " : "",
                 status.err_msg ? status.err_msg : "exit");
    PyConfig_Clear(&config);
    return failed;
}

int capi_initialize(size_t argc, char *const *argv, char *error, size_t size) {
    capi_restore_limit();
    capi_restore_signals();
    int failed = initialize(argc, argv, error, size);
    sigaction(SIGURG, &gos, NULL);
    return failed;
}

/* The main thread of the process, not any other. */
int capi_on_main_thread(void) {
#ifdef __linux__
    return syscall(SYS_gettid) == getpid();
#else
    return pthread_main_np();
#endif
}
