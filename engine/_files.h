/* What listing directories (_listing.c) and many small files (_files.c) share: packed stats, paths of any length, and
 * how arguments are taken.
 */
#ifndef SILT_FILES_H
#define SILT_FILES_H

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef O_NOATIME
#define O_NOATIME 0
#endif
#ifndef O_PATH
#define O_PATH O_RDONLY
#endif
#ifndef PATH_MAX
#define PATH_MAX 4096
#endif
#ifdef __APPLE__
#define MTIME_OF(st) ((st)->st_mtimespec)
#define CTIME_OF(st) ((st)->st_ctimespec)
#else
#define MTIME_OF(st) ((st)->st_mtim)
#define CTIME_OF(st) ((st)->st_ctim)
#endif

/* ---- stat: '<IIIIQqqQQQQ' mode, uid, gid, nlink, size, mtime, ctime, ino, rdev | dev, blocks ---- */

enum { STAT_BYTES = 72, HEAD_BYTES = 56, SIZE_AT = 16, MTIME_AT = 24, RDEV_AT = 48, DEV_AT = 56 };

static inline void put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static inline uint64_t take(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* Nanoseconds since 1970, as far as 64 bits go (1677 to 2262); beyond, the nearest that fits. */
static inline int64_t nanoseconds(struct timespec time)
{
    int64_t seconds = time.tv_sec, rest = time.tv_nsec, total;
    if (seconds < 0 && rest > 0) { /* both of one sign, or the product overflows where the sum would fit */
        seconds += 1;
        rest -= 1000000000;
    }
    if (__builtin_mul_overflow(seconds, (int64_t)1000000000, &total) || __builtin_add_overflow(total, rest, &total))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return total;
}

static inline void pack_stat(unsigned char *at, const struct stat *st)
{
    put(at, st->st_mode, 4);
    put(at + 4, st->st_uid, 4);
    put(at + 8, st->st_gid, 4);
    put(at + 12, st->st_nlink > UINT32_MAX ? UINT32_MAX : st->st_nlink, 4);
    put(at + SIZE_AT, (uint64_t)st->st_size, 8);
    put(at + MTIME_AT, (uint64_t)nanoseconds(MTIME_OF(st)), 8);
    put(at + 32, (uint64_t)nanoseconds(CTIME_OF(st)), 8);
    put(at + 40, st->st_ino, 8);
    put(at + RDEV_AT, st->st_rdev, 8);
    put(at + DEV_AT, st->st_dev, 8);
    put(at + 64, (uint64_t)st->st_blocks, 8);
}

/* ---- paths ---- */

/* The kernel takes paths below PATH_MAX only. A longer one is walked: *path becomes its rest, below the limit, and the
 * answer is the directory from which to reach it: AT_FDCWD, a descriptor to be left, or -1 and errno. */
static inline int reach(const char **path)
{
    int base = AT_FDCWD;
    size_t left = strlen(*path);
    while (left >= PATH_MAX) {
        char piece[PATH_MAX];
        size_t cut = PATH_MAX - 1;
        while (cut > 0 && (*path)[cut] != '/')
            cut--;
        memcpy(piece, *path, cut);
        piece[cut] = '\0';
        int next = cut > 0 ? openat(base, piece, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        int error = cut > 0 ? errno : ENAMETOOLONG;
        if (base != AT_FDCWD)
            close(base);
        if (next < 0) {
            errno = error;
            return -1;
        }
        base = next;
        while ((*path)[cut] == '/')
            cut++;
        *path += cut;
        left -= cut;
    }
    if (**path == '\0' && base != AT_FDCWD)
        *path = ".";
    return base;
}

static inline void leave(int base)
{
    if (base != AT_FDCWD) {
        int error = errno;
        close(base);
        errno = error;
    }
}

/* Opens for reading: never through a symlink, without touching the access time where that is allowed (the owner's and
 * root's right), and without waiting for a FIFO's writer. A lease is waited for: only regular files have one. */
static inline int open_to_read(const char *path, int flags)
{
    int base = reach(&path);
    if (base == -1)
        return -1;
    flags |= O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOATIME;
    for (;;) {
        int fd = openat(base, path, flags);
        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0 && errno == EPERM && (flags & O_NOATIME))
            flags &= ~O_NOATIME;
        else if (fd < 0 && errno == EWOULDBLOCK && (flags & O_NONBLOCK))
            flags &= ~O_NONBLOCK;
        else {
            leave(base);
            return fd;
        }
    }
}

/* ---- arguments ---- */

static inline int take_descriptor(PyObject *number, int *descriptor)
{
    long value = PyLong_AsLong(number);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value != (int)value) {
        PyErr_SetString(PyExc_OverflowError, "not a file descriptor");
        return -1;
    }
    *descriptor = (int)value;
    return 0;
}

static inline int take_bytes(PyObject *object, const char **text)
{
    return PyBytes_AsStringAndSize(object, (char **)text, NULL); /* refuses a NUL inside */
}

#endif
