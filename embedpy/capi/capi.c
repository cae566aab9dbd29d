#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for syscall(); cgo may have set it */
#endif
#define CAPI_DEFINES_POINTERS
#include "capi.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/prctl.h>
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
    library = dlopen(*path ? path : NULL, RTLD_NOW | RTLD_GLOBAL);
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

static pthread_t main_thread; /* the thread that started Python */
static unsigned long main_ident; /* Python's name for it */
static pid_t owner;           /* the process that did: not a forked child */

static struct sigaction at_start[NSIG];
static sigset_t mask_at_start;
static void (*python_handler[NSIG])(int);
static sigset_t noted; /* those that on_signal handles */
static _Thread_local sigset_t mask_at_fork;
static char **arguments; /* the process's own */
static int argument_count;
static int news = -1; /* a pipe: the signals that on_signal has seen */
static atomic_int unsaid; /* SIGINTs of capi_interrupt's, which are nobody's news */

/* What Go keeps: SIGURG stops its goroutines. Python does not see it: while it
   starts, and looks, the handler is away. (By default SIGURG does nothing.) */
static int is_gos(int sig) { return sig == SIGURG; }
static struct sigaction gos;

static int is_crash(int sig) {
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP ||
           sig == SIGABRT || sig == SIGQUIT || sig == SIGSYS;
}

/* Runs before Go does: notes how signals are, and blocks them. Go gives its
   threads the mask that it finds (but for what ends a program, see on_signal),
   so the kernel has the main thread and Python's own to choose from, as it has
   in any Python program. */
__attribute__((constructor(101))) static void before_go(int argc, char **argv) {
    sigset_t block;
    arguments = argv;
    argument_count = argc;
    sigfillset(&block);
    for (int sig = 1; sig < NSIG; sig++) {
        sigaction(sig, NULL, &at_start[sig]);
        if (is_crash(sig) || is_gos(sig) || sig == SIGPROF || sig == SIGPIPE) sigdelset(&block, sig);
    }
    pthread_sigmask(SIG_BLOCK, &block, &mask_at_start);
}

void capi_unblock(void) { pthread_sigmask(SIG_SETMASK, &mask_at_start, NULL); }

/* Takes Go's handlers away, before Python looks: a default that Go has changed
   would be None to signal.getsignal, a SIGUSR1 that ends a program would not,
   and a crash would be two hundred lines about goroutines and status 2. Who
   wants those sets GOTRACEBACK. Where Python runs already (guest.c), what it has
   installed itself, such as faulthandler's, comes back in this way too. */
void capi_restore_signals(void) {
    int keep_crashes = getenv("GOTRACEBACK") != NULL;
    for (int sig = 1; sig < NSIG; sig++)
        if (!(keep_crashes && is_crash(sig))) sigaction(sig, &at_start[sig], is_gos(sig) ? &gos : NULL);
}

int capi_ignored_at_start(int sig) { return at_start[sig].sa_handler == SIG_IGN; }

/* A signal that Python handles: the main thread is where Python's handlers run,
   and where a sleep, a read or a poll that waits has to be cut short. */
static void on_signal(int sig) {
    int saved = errno;
    if (getpid() != owner) { /* a child made past fork(3) */
        python_handler[sig](sig);
    } else if (!pthread_equal(pthread_self(), main_thread)) {
        pthread_kill(main_thread, sig);
    } else {
        unsigned char number = sig;
        int ours = sig == SIGINT && atomic_load(&unsaid) > 0;
        if (ours) atomic_fetch_sub(&unsaid, 1);
        else if (write(news, &number, 1) < 0) { /* full: enough is known */ }
        python_handler[sig](sig);
    }
    errno = saved;
}

/* Wraps the handler that signal.signal has just installed. It is gone when the
   program sets another: then the signal is the program's. */
void capi_note_signal(int sig, int pipe) {
    struct sigaction action;
    news = pipe;
    sigaction(sig, NULL, &action);
    if (action.sa_handler == on_signal) return;
    python_handler[sig] = action.sa_handler;
    action.sa_handler = on_signal;
    sigaction(sig, &action, NULL);
    sigaddset(&noted, sig);
}

/* A signal may come to a forked child before Python's own hooks run there, and
   a child of any Python program would end. */
static void before_fork(void) { pthread_sigmask(SIG_BLOCK, &noted, &mask_at_fork); }
static void after_fork(void) { pthread_sigmask(SIG_SETMASK, &mask_at_fork, NULL); }
static void after_fork_in_child(void) {
    for (int sig = 1; sig < NSIG; sig++) {
        struct sigaction action;
        if (sigismember(&noted, sig) != 1 || sigaction(sig, NULL, &action) != 0) continue;
        if (action.sa_handler != on_signal) continue;
        action.sa_handler = sig == SIGINT ? python_handler[sig] : SIG_DFL;
        sigaction(sig, &action, NULL);
    }
    after_fork();
}

/* From any thread, without the GIL. A signal, because nothing else ends a wait;
   where SIGINT is ignored, an exception for when Python next runs code. (Not
   Py_AddPendingCall: before 3.13 it does not reach a main thread that is busy.) */
void capi_interrupt(void) {
    if (!capi_ignored_at_start(SIGINT)) {
        atomic_fetch_add(&unsaid, 1);
        pthread_kill(main_thread, SIGINT);
        return;
    }
    PyGILState_STATE state = PyGILState_Ensure();
    PyThreadState_SetAsyncExc(main_ident, PyExc_KeyboardInterrupt);
    PyGILState_Release(state);
}

/* From any thread: ends a wait of the main thread that was about to begin when a
   signal came. Go uses SIGURG for itself and expects it any time. */
void capi_wake(void) { pthread_kill(main_thread, SIGURG); }

/* On the main thread, with the GIL: takes back an interrupt that came too late
   to reach anybody. Unblocking a signal delivers it if it is pending (POSIX). */
void capi_clear_interrupt(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    if (PyErr_CheckSignals() < 0) PyErr_Clear();
    PyThreadState_SetAsyncExc(main_ident, NULL);
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

static void settle(void) {
    main_thread = pthread_self();
    owner = getpid();
    capi_restore_limit();
    capi_restore_signals();
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

void capi_attach(void) {
    settle();
    sigaction(SIGURG, &gos, NULL);
    main_ident = PyThread_get_thread_ident();
}

int capi_initialize(size_t argc, char *const *argv, char *error, size_t size) {
    settle();
    int failed = initialize(argc, argv, error, size);
    sigaction(SIGURG, &gos, NULL);
    if (!failed) main_ident = PyThread_get_thread_ident();
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

/* For ps and top: what is shown of the process is what it was started with,
   which has room, beginning with the word `first`. A last byte that is not NUL
   tells the kernel that it is a title (fs/proc/base.c, get_mm_cmdline). */
void capi_set_title(int first) {
    if (!arguments || first >= argument_count) return;
    char *to = arguments[0], *last = arguments[argument_count - 1], *end = last + strlen(last);
#ifdef __linux__
    const char *slash = strrchr(arguments[first], '/');
    prctl(PR_SET_NAME, slash ? slash + 1 : arguments[first]);
#endif
    for (const char *from = arguments[first]; from < end; from++) *to++ = *from ? *from : ' ';
    memset(to, 0, end - to);
    *end = ' ';
}

/* ---- Go functions in Python ---- */

static PyObject *go_error; /* the exception class */

/* What Python calls. self is the function's number, arg its bytes or str. */
static PyObject *call_go(PyObject *self, PyObject *arg) {
    if (getpid() != owner) { /* Go's other threads are not there */
        PyErr_SetString(PyExc_RuntimeError, "a forked child cannot call Go");
        return NULL;
    }
    const char *data;
    Py_ssize_t size;
    if (PyBytes_Check(arg)) {
        data = PyBytes_AsString(arg);
        size = PyBytes_Size(arg);
    } else if (PyUnicode_Check(arg)) {
        data = PyUnicode_AsUTF8AndSize(arg, &size);
    } else {
        PyErr_SetString(PyExc_TypeError, "a Go function takes bytes or str");
        return NULL;
    }
    if (!data) return NULL;
    long number = PyLong_AsLong(self);

    char *answer = NULL;
    size_t length = 0;
    PyThreadState *state = PyEval_SaveThread();
    long failure = capiCallGo(number, (char *)data, size, &answer, &length);
    PyEval_RestoreThread(state);

    PyObject *result = NULL;
    if (PyErr_CheckSignals() < 0) {
        /* An interrupt that ended the Go function goes before its error. */
    } else if (!failure) {
        result = PyBytes_FromStringAndSize(answer, length);
    } else {
        PyObject *text = PyUnicode_DecodeUTF8(answer, length, "replace");
        PyObject *error = text ? PyObject_CallFunctionObjArgs(go_error, text, NULL) : NULL;
        PyObject *id = error ? PyLong_FromLong(failure) : NULL;
        if (id && PyObject_SetAttrString(error, "_id", id) == 0) PyErr_SetObject(go_error, error);
        Py_DecRef(id);
        Py_DecRef(error);
        Py_DecRef(text);
    }
    free(answer);
    return result;
}

PyObject *capi_new_function(const char *name, long number, PyObject *error_class) {
    go_error = error_class;
    PyMethodDef *def = calloc(1, sizeof *def); /* lives as long as Python does */
    PyObject *self = PyLong_FromLong(number);
    if (!def || !self) return NULL;
    *def = (PyMethodDef){.name = strdup(name), .function = call_go, .flags = METH_O};
    PyObject *function = PyCFunction_NewEx(def, self, NULL);
    Py_DecRef(self);
    return function;
}
