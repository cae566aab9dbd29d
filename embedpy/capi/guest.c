/* The program as an extension module of Python: the way in when it is built as
   a shared library and a Python loads it. See guest.go. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for dladdr(); cgo may have set it */
#endif
#include "capi.h"

#include <dlfcn.h>
#include <signal.h>

const char *capi_file(void) {
    Dl_info info;
    return dladdr((void *)capi_file, &info) ? info.dli_fname : "";
}

/* Go runs signal handlers on the alternate stack that a thread has when it first
   calls Go. Python's faulthandler may have set one, and takes it away at the end
   if it is still its own: so the thread gets one that stays. */
static PyObject *run(int again) {
    static char stack[1 << 16];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    capiGuest(again);
    return NULL; /* never */
}
static PyObject *run_main(PyObject *self, PyObject *none) { return (void)self, (void)none, run(0); }
static PyObject *run_again(PyObject *self, PyObject *none) { return (void)self, (void)none, run(1); }

static PyMethodDef methods[] = {
    {"main", run_main, METH_NOARGS, "Run the command in sys.argv and end with its exit status."},
    {"again", run_again, METH_NOARGS, "The same for a process that has replaced itself by this Python."},
    {NULL, NULL, 0, NULL},
};

/* Without it, a free-threaded build would bring the GIL back for this module. */
static struct { int slot; void *value; } needs_no_gil[] = {{4 /* Py_mod_gil */, (void *)1}, {0}};

/* PyModuleDef as the stable ABI has it (PEP 384, PEP 489). It begins with an
   object: four words in a free-threaded build (PEP 703), and the last two of
   them, which are a count of references and the type, in any other. */
static struct {
    uintptr_t thread;
    uint64_t flags;
    Py_ssize_t references;
    void *type;
    void *init;
    Py_ssize_t index;
    void *copy;
    const char *name, *doc;
    Py_ssize_t size;
    PyMethodDef *methods;
    void *slots, *traverse, *clear, *free;
} definition = {.name = "_reflex_db", .doc = "The command reflex.", .methods = methods};

__attribute__((visibility("default"))) PyObject *PyInit__reflex_db(void) {
    capiReady();    /* Go has its files, whose numbers descriptors.c has chosen */
    capi_unblock(); /* this thread is Python's */
    if (capi_load("")) return NULL;
    if (!strstr(Py_GetVersion(), "free-threading")) return PyModuleDef_Init(&definition.references);
    definition.slots = needs_no_gil;
    return PyModuleDef_Init(&definition);
}
