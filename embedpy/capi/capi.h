/* What capi.c offers to capi.go. */
#ifndef EMBEDPY_CAPI_H
#define EMBEDPY_CAPI_H

#include "Python.h"

/* Opens a libpython and fills in the pointers; "" is the process itself, into
   which a Python has loaded this. NULL, or what went wrong. */
const char *capi_load(const char *path);

/* Starts Python on the main thread. 0, or not 0 and a message in error. */
int capi_initialize(size_t argc, char *const *argv, char *error, size_t size);
int capi_on_main_thread(void);

/* Go's descriptors, and the program's limit of them. */
void capi_free_descriptors(void);
void capi_restore_limit(void);
int capi_out_of_the_way(int fd);

/* The same for a Python that already runs, on its main thread. */
void capi_attach(void);
void capi_set_title(int first);
const char *capi_file(void); /* of the library that this code is in */

void capi_unblock(void);
void capi_restore_signals(void);
int capi_ignored_at_start(int sig);
void capi_note_signal(int sig, int pipe);
void capi_interrupt(void);
void capi_clear_interrupt(void);
void capi_wake(void);

PyObject *capi_new_function(const char *name, long number, PyObject *error_class);

/* capi.go's: calls Go function number with data. 0, or the number of the error
   whose text is the answer. The answer is the caller's to free. */
extern long capiCallGo(long number, char *data, Py_ssize_t size, char **answer, size_t *length);

/* guest.go's: runs the program in the Python that has loaded it. */
extern void capiGuest(int again);
extern void capiReady(void);

#endif
