/* What capi.c offers to capi.go. */
#ifndef EMBEDPY_CAPI_H
#define EMBEDPY_CAPI_H

#include "Python.h"

/* Opens a libpython and fills in the pointers. NULL, or what went wrong. */
const char *capi_load(const char *path);

/* Starts Python on the main thread. 0, or not 0 and a message in error. */
int capi_initialize(size_t argc, char *const *argv, char *error, size_t size);
int capi_on_main_thread(void);

/* The address space, in bytes, that Go and Python need in one process: see limits.c. */
#define CAPI_ROOM 4000000000ULL

/* Go's descriptors, and the program's limit of them. */
void capi_free_descriptors(void);
void capi_restore_limit(void);

/* The signals that the program had before Go started. */
void capi_unblock(void);
void capi_restore_signals(void);

#endif
