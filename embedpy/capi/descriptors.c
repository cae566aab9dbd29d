/*
 * Go's own file descriptors, out of the program's way.
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
#endif

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

/* Once Go has its poller: gives the numbers back. */
void capi_free_descriptors(void) {
    for (int fd = 0; fd < below; fd++) {
        if (taken[fd]) close(fd);
        taken[fd] = 0;
    }
}

/* Before Python starts: the limit that Go has raised is the program's again. */
void capi_restore_limit(void) {
    struct rlimit now;
    if (at_start.rlim_max == 0 || getrlimit(RLIMIT_NOFILE, &now) != 0) return;
    if (now.rlim_cur != at_start.rlim_cur) setrlimit(RLIMIT_NOFILE, &at_start);
}

/* Leads fd to a number that is not the program's, and returns that one. */
int capi_out_of_the_way(int fd) {
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, below);
    if (moved < 0) fcntl(fd, F_SETFD, FD_CLOEXEC); /* no room: it stays */
    if (moved < 0) return fd;
    close(fd);
    return moved;
}
