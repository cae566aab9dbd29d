/*
 * Python.h: a header of our own, in the place of CPython's.
 *
 * cpy3 includes "Python.h" and expects it to come with a libpython to link.
 * This one comes with neither: every type is opaque, and every function calls
 * through a pointer that capi_load fills in from whichever libpython the
 * program finds when it runs. So one binary serves every CPython version.
 *
 * There is one pointer for each function, and not one struct of them all,
 * because Go's build cache does not see this file when it compiles cpy3: a
 * cached cpy3 object that knew an older struct would call the wrong function.
 */
#ifndef EMBEDPY_PYTHON_H
#define EMBEDPY_PYTHON_H

#ifdef _WIN32
#error "embedpy works on Linux and macOS; Windows is not supported yet"
#endif

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <wchar.h>

typedef ssize_t Py_ssize_t;
typedef ssize_t Py_hash_t;
typedef uint32_t Py_UCS4;
typedef enum { PyGILState_LOCKED, PyGILState_UNLOCKED } PyGILState_STATE;

/* Only pointers to these are ever used; the one byte makes the types complete,
   which cgo needs. CPython's own layouts differ between versions and builds. */
typedef struct { char opaque; } PyObject;
typedef struct { char opaque; } PyTypeObject;
typedef struct { char opaque; } PyThreadState;
typedef struct { char opaque; } PyCompilerFlags;

/* PyConfig differs in each version. CPython fills it in, and no field of it is
   touched here; it only has to be larger than the largest (about 500 bytes). */
typedef struct { uint64_t opaque[2048]; } PyConfig;

/* Returned by value, so the layout matters: PEP 587, the same since 3.8. */
typedef struct {
    int type;
    const char *func;
    const char *err_msg;
    int exitcode;
} PyStatus;

enum { Py_LT, Py_LE, Py_EQ, Py_NE, Py_GT, Py_GE };

/* Every C file that cgo generates includes this header, and cpy3's are linked
   once on their own, without capi.c: so the pointers are defined here, weakly,
   and capi.c's own definitions win. Hidden, or they would stand in for
   libpython's own symbols in every extension module. */
#define CAPI_HIDDEN __attribute__((visibility("hidden")))
#ifdef CAPI_DEFINES_POINTERS
#define CAPI_POINTER extern CAPI_HIDDEN
#else
#define CAPI_POINTER CAPI_HIDDEN __attribute__((weak))
#endif
#define CAPI_VARIABLE CAPI_HIDDEN __attribute__((weak))

#define V(result, name, params) CAPI_POINTER result (*capi_##name) params;
#define F(result, name, params, args)           \
    CAPI_POINTER result (*capi_##name) params;  \
    static inline result name params { return capi_##name args; }
#include "functions.h"
#undef F
#undef V
#define PyObject_CallFunctionObjArgs capi_PyObject_CallFunctionObjArgs
#define PyObject_CallMethodObjArgs capi_PyObject_CallMethodObjArgs

/* cpy3 reads these variables while its package starts, which is before any
   libpython is there. It finds null pointers and the addresses of dummies;
   capi.Load puts libpython's own objects into cpy3's Go variables. */
#define CAPI_OBJECT(name) CAPI_VARIABLE PyObject *name;
#define CAPI_TYPE(name)              \
    CAPI_VARIABLE PyTypeObject name; \
    CAPI_POINTER PyTypeObject *capi_##name;
#include "variables.h"
#undef CAPI_OBJECT
#undef CAPI_TYPE

/* The type checks are macros over struct fields in CPython's header. Here they
   ask CPython. The flag bits are documented: Py_TPFLAGS_LONG_SUBCLASS etc. */
static inline int capi_is_exactly(PyObject *o, PyTypeObject *type) {
    PyObject *found = PyObject_Type(o);
    Py_DecRef(found); /* o keeps its type alive */
    return found == (PyObject *)type;
}
static inline int capi_is_a(PyObject *o, PyTypeObject *type) {
    PyTypeObject *found = (PyTypeObject *)PyObject_Type(o);
    int yes = PyType_IsSubtype(found, type);
    Py_DecRef((PyObject *)found);
    return yes;
}
static inline int capi_has_flag(PyObject *o, int bit) {
    PyTypeObject *found = (PyTypeObject *)PyObject_Type(o);
    int yes = (PyType_GetFlags(found) >> bit) & 1;
    Py_DecRef((PyObject *)found);
    return yes;
}

#define PyLong_Check(o) capi_has_flag(o, 24)
#define PyList_Check(o) capi_has_flag(o, 25)
#define PyTuple_Check(o) capi_has_flag(o, 26)
#define PyBytes_Check(o) capi_has_flag(o, 27)
#define PyUnicode_Check(o) capi_has_flag(o, 28)
#define PyDict_Check(o) capi_has_flag(o, 29)
#define PyType_Check(o) capi_has_flag(o, 31)
#define PyByteArray_Check(o) capi_is_a(o, capi_PyByteArray_Type)
#define PyComplex_Check(o) capi_is_a(o, capi_PyComplex_Type)
#define PyFloat_Check(o) capi_is_a(o, capi_PyFloat_Type)
#define PyModule_Check(o) capi_is_a(o, capi_PyModule_Type)
#define PyObject_TypeCheck(o, type) capi_is_a(o, type)

#define PyBool_Check(o) capi_is_exactly(o, capi_PyBool_Type)
#define PyByteArray_CheckExact(o) capi_is_exactly(o, capi_PyByteArray_Type)
#define PyBytes_CheckExact(o) capi_is_exactly(o, capi_PyBytes_Type)
#define PyComplex_CheckExact(o) capi_is_exactly(o, capi_PyComplex_Type)
#define PyDict_CheckExact(o) capi_is_exactly(o, capi_PyDict_Type)
#define PyFloat_CheckExact(o) capi_is_exactly(o, capi_PyFloat_Type)
#define PyList_CheckExact(o) capi_is_exactly(o, capi_PyList_Type)
#define PyLong_CheckExact(o) capi_is_exactly(o, capi_PyLong_Type)
#define PyModule_CheckExact(o) capi_is_exactly(o, capi_PyModule_Type)
#define PyTuple_CheckExact(o) capi_is_exactly(o, capi_PyTuple_Type)
#define PyType_CheckExact(o) capi_is_exactly(o, capi_PyType_Type)
#define PyUnicode_CheckExact(o) capi_is_exactly(o, capi_PyUnicode_Type)

/* Macros in CPython's header too. */
#define PyObject_DelAttr(o, name) PyObject_SetAttr(o, name, NULL)
#define PyObject_DelAttrString(o, name) PyObject_SetAttrString(o, name, NULL)

#endif
