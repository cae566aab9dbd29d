/*
 * Limits: Go's own file descriptors, out of the program's way, and its address space.
 *
 * Go's poller is a descriptor that Go cannot do without: a program that closes
 * every descriptor it may have (os.closerange, as daemons do) would end it. And
 * a program may count on its first file being number 3. So all that Go opens
 * before Python starts gets a number behind those: beyond the program's limit,
 * where there is room.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for F_DUPFD_CLOEXEC; cgo may have set it */
#endif
#include "capi.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#include <sys/syscall.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define LEAST_ROOM 1500000000ULL

enum { MOST = 4096, SPARE = 64 }; /* 4096 cost a millisecond */

static struct rlimit at_start;
static unsigned char taken[MOST];
static int below; /* the numbers below this one are the program's */

/* Runs before Go does: takes every number there is below the limit. (Go raises
   the limit, if it can, before it opens anything that it needs.) */
__attribute__((constructor(102))) static void take(void) {
#ifdef __linux__
    if (getrlimit(RLIMIT_NOFILE, &at_start) != 0) return;
    rlim_t most = at_start.rlim_cur;
    if (at_start.rlim_max < most + SPARE) most = most > SPARE ? most - SPARE : 0;
    below = most < MOST ? most : MOST;
    int null = eventfd(0, EFD_CLOEXEC); /* needs no file system */
    if (null < 0) return;
    for (int fd = null; fd >= 0 && fd < below; fd = fcntl(null, F_DUPFD_CLOEXEC, fd + 1))
        taken[fd] = 1;
    if (null >= below) close(null);
#endif
}

/* Runs before Go does, which ends with a stack trace where it can't reserve the address
   space that it starts with: 1.2 GB, and more with each thread. malloc would take the rest,
   64 MB for each thread. */
__attribute__((constructor(103))) static void need_room(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur >= CAPI_ROOM) return;
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 1);
#endif
    if (limit.rlim_cur >= LEAST_ROOM) return;
    dprintf(2, "Error: this program needs 1.5 GB of address space, and its limit (ulimit -v) is %llu MB\n",
            (unsigned long long)limit.rlim_cur / 1000000);
    _exit(3);
}

/* Closes from one number to another. Linux has one call for it since 5.9. */
static void close_all(int first, int last) {
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, last, 0) == 0) return;
#endif
    for (int fd = first; fd <= last; fd++) close(fd);
}

/* Once Go has its poller: gives the numbers back. */
void capi_free_descriptors(void) {
    for (int fd = 0; fd < below; fd++) {
        int first = fd;
        while (fd < below && taken[fd]) taken[fd++] = 0;
        if (fd > first) close_all(first, fd - 1);
    }
}

/* Before Python starts: the limit that Go has raised is the program's again. */
void capi_restore_limit(void) {
    struct rlimit now;
    if (at_start.rlim_max == 0 || getrlimit(RLIMIT_NOFILE, &now) != 0) return;
    if (now.rlim_cur != at_start.rlim_cur) setrlimit(RLIMIT_NOFILE, &at_start);
}
