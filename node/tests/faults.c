/* Faults of the operating system, for tests: a library to preload. Every call that changes what a disk holds is a step.
 *
 *   FAULT_KILL_AT=n  the process is killed at step n, half of a write done
 *   FAULT_SYNC_AT=n  the n-th sync fails with EIO
 *   FAULT_COUNT=1    says at the end how many steps and syncs there were
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long steps, syncs;

static long at(const char *name) {
    const char *value = getenv(name);
    return value ? atol(value) : -1;
}

/* Whether this is the step at which the process ends. */
static int is_last(void) { return atomic_fetch_add(&steps, 1) + 1 == at("FAULT_KILL_AT"); }

static void end(void) {
    raise(SIGKILL);
    for (;;) pause();
}

static int sync_fails(void) { return atomic_fetch_add(&syncs, 1) + 1 == at("FAULT_SYNC_AT"); }

__attribute__((destructor)) static void count(void) {
    if (getenv("FAULT_COUNT")) fprintf(stderr, "steps %ld syncs %ld\n", (long)steps, (long)syncs);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *bytes, size_t count) {
    if (file > 2 && is_last()) {
        NEXT(write)(file, bytes, count / 2);
        end();
    }
    return NEXT(write)(file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    if (is_last()) {
        NEXT(pwrite)(file, bytes, count / 2, offset);
        end();
    }
    return NEXT(pwrite)(file, bytes, count, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    if (is_last()) {
        NEXT(pwrite64)(file, bytes, count / 2, offset);
        end();
    }
    return NEXT(pwrite64)(file, bytes, count, offset);
}

#define SYNC(name)                                                                                                    \
    int name(int file) {                                                                                              \
        if (is_last()) end();                                                                                         \
        if (sync_fails()) {                                                                                           \
            errno = EIO;                                                                                              \
            return -1;                                                                                                \
        }                                                                                                             \
        return NEXT(name)(file);                                                                                      \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
    if (is_last()) end();
    return NEXT(rename)(from, to);
}

int link(const char *from, const char *to) {
    if (is_last()) end();
    return NEXT(link)(from, to);
}

int unlink(const char *path) {
    if (is_last()) end();
    return NEXT(unlink)(path);
}

int ftruncate(int file, off_t length) {
    if (is_last()) end();
    return NEXT(ftruncate)(file, length);
}

int ftruncate64(int file, off64_t length) {
    if (is_last()) end();
    return NEXT(ftruncate64)(file, length);
}
