/*
 * For LD_PRELOAD: reads and writes of chosen files transfer less than was asked for, or are interrupted, at random.
 *
 * TORN_IO     parts of paths, separated by colons; a file is chosen if its path contains one
 * TORN_AGAIN  the same, of files whose reads also fail by EAGAIN, as on network file systems
 * TORN_SEED   a number; the same one gives the same sequence in a program of one thread
 * TORN_COUNT  a file that gets a byte for each call that was torn, so that a test knows that there were some
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic unsigned long drawn;

static unsigned draw(unsigned sides)
{
    const char *seed = getenv("TORN_SEED");
    unsigned long x = (atomic_fetch_add(&drawn, 1) + 1) * 0x9e3779b97f4a7c15UL + (seed ? strtoul(seed, NULL, 10) : 0);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9UL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebUL;
    return (unsigned)((x ^ (x >> 31)) % sides);
}

static int contains_one(const char *path, const char *variable)
{
    const char *part = getenv(variable);
    while (part && *part) {
        size_t length = strcspn(part, ":");
        if (length && memmem(path, strlen(path), part, length))
            return 1;
        part += length + (part[length] == ':');
    }
    return 0;
}

static void count(void)
{
    const char *name = getenv("TORN_COUNT");
    int fd = name ? open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (fd >= 0) {
        struct iovec byte = {"x", 1};
        if (writev(fd, &byte, 1) < 0)
            abort();
        close(fd);
    }
}

/* Return how many bytes are to be transferred; -1 with errno if the call is to fail. */
static ssize_t torn(int fd, size_t asked, int reads)
{
    char link[64], path[PATH_MAX];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return (ssize_t)asked;
    path[length] = 0;
    if (!contains_one(path, "TORN_IO"))
        return (ssize_t)asked;
    switch (draw(8)) {
    case 0:
        count();
        errno = reads && draw(2) && contains_one(path, "TORN_AGAIN") ? EAGAIN : EINTR;
        return -1;
    case 1: case 2: case 3:
        if (asked > 1) {
            count();
            return (ssize_t)(1 + draw((unsigned)(asked < 1 << 20 ? asked - 1 : 1 << 20)));
        }
    }
    return (ssize_t)asked;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define TEAR(reads)                       \
    ssize_t few = torn(fd, size, reads);  \
    if (few < 0)                          \
        return -1

ssize_t read(int fd, void *to, size_t size) { TEAR(1); return NEXT(read)(fd, to, (size_t)few); }
ssize_t write(int fd, const void *from, size_t size) { TEAR(0); return NEXT(write)(fd, from, (size_t)few); }
ssize_t pread(int fd, void *to, size_t size, off_t at) { TEAR(1); return NEXT(pread)(fd, to, (size_t)few, at); }
ssize_t pread64(int fd, void *to, size_t size, off64_t at) { TEAR(1); return NEXT(pread64)(fd, to, (size_t)few, at); }
ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
    TEAR(0);
    return NEXT(pwrite)(fd, from, (size_t)few, at);
}
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at)
{
    TEAR(0);
    return NEXT(pwrite64)(fd, from, (size_t)few, at);
}
