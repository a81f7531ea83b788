/* Many small files at once, without the interpreter: read files into one buffer, create files out of one buffer.
 *
 * Rule: files_plain.py says in Python what this file does in C, and the tests hold the one to the other. Arguments are
 * taken and checked first, with the GIL; then the system calls run without it, on memory that only this call knows
 * (tuples and buffers of the caller are held until it ends); then the answers become Python objects. One file that
 * fails fails alone.
 *
 * It does not promise durability (nothing is synced), does not see a signal before its batch is done, and knows nothing
 * of extents, holes, xattrs or links. Elsewhere than on Linux there are no file flags, no xattrs and no O_NOATIME.
 */
#include "_files.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/uio.h>
#ifdef __linux__
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#endif

/* ---- arguments: tuples of the caller's items, and plain C arrays made from them ---- */

/* The items of a sequence as a tuple of `count` (-1: any), which nobody else can change. */
static PyObject *items(PyObject *sequence, Py_ssize_t count)
{
    PyObject *tuple = PySequence_Tuple(sequence);
    if (tuple != NULL && count >= 0 && PyTuple_GET_SIZE(tuple) != count) {
        PyErr_SetString(PyExc_ValueError, "the lists are not of one length");
        Py_CLEAR(tuple);
    }
    return tuple;
}

static int take_size(PyObject *number, size_t *size)
{
    Py_ssize_t value = PyLong_AsSsize_t(number);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < 0) {
        PyErr_SetString(PyExc_ValueError, "a negative size");
        return -1;
    }
    *size = (size_t)value;
    return 0;
}

/* A name inside its directory and nothing else: what is written never leaves the directory it was meant for. */
static int take_name(PyObject *object, const char **name)
{
    if (take_bytes(object, name) < 0)
        return -1;
    if (**name == '\0' || strchr(*name, '/') != NULL || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0) {
        PyErr_Format(PyExc_ValueError, "not the name of a file: %R", object);
        return -1;
    }
    return 0;
}

/* ---- what there is beyond content and stat ---- */

struct extras {
    size_t xattr_bytes;
    uint32_t flags;
};

/* So that the caller need not ask where there is nothing. */
static void probe(int fd, struct extras *found)
{
#ifdef __linux__
    ssize_t listed = flistxattr(fd, NULL, 0);
    if (listed < 0 && errno != EOPNOTSUPP)
        listed = 1; /* it cannot be said: who asks for them gets the error */
    found->xattr_bytes = listed > 0 ? (size_t)listed : 0;
    union {
        int bits; /* what the kernel writes, whatever its header says */
        long room;
    } flags = {.room = 0};
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0)
        found->flags = (uint32_t)flags.bits & 0x6283C4FFu; /* SETTABLE of flags.py */
#else
    (void)fd, (void)found;
#endif
}

static PyObject *probe_directory(PyObject *Py_UNUSED(module), PyObject *argument)
{
    const char *path;
    if (take_bytes(argument, &path) < 0)
        return NULL;
    struct extras found = {0, 0};
    int fd = open_to_read(path, O_DIRECTORY);
    if (fd < 0)
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, argument);
    probe(fd, &found);
    close(fd);
    return Py_BuildValue("nI", (Py_ssize_t)found.xattr_bytes, (unsigned int)found.flags);
}

/* ---- read_files ---- */

struct reading {
    const char *path;
    size_t size;             /* expected, and no more is read */
    int error;
    size_t start, length;    /* where the content lies in the buffer */
    int examined;            /* `stat` is filled */
    unsigned char stat[STAT_BYTES];
    struct extras extras;
};

/* Fills `into` with at most `size` bytes; one more is asked for in the same call, which shows growth. */
static int read_all(int fd, char *into, struct reading *file, off_t told, int *grew)
{
    char more;
    file->length = 0;
    for (;;) {
        struct iovec parts[2] = {{into + file->length, file->size - file->length}, {&more, 1}};
        ssize_t n = readv(fd, parts, 2);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        file->length += (size_t)n;
        if ((*grew = file->length > file->size))
            file->length = file->size;
        if (n == 0 || *grew || (off_t)file->length == told)
            return 0;
    }
}

static int read_opened(int fd, char *into, struct reading *file)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return errno;
    pack_stat(file->stat, &st);
    file->examined = 1;
    if (!S_ISREG(st.st_mode))
        return ENOTSUP;
    int grew;
    if (read_all(fd, into, file, st.st_size, &grew) < 0)
        return errno;
    probe(fd, &file->extras);
    if (fstat(fd, &st) < 0)
        return errno;
    if (grew && (uint64_t)st.st_size <= file->length)
        st.st_size = (off_t)file->length + 1; /* /proc says 0 whatever there is; what was seen counts */
    pack_stat(file->stat, &st);
    return 0;
}

static void read_batch(struct reading *files, Py_ssize_t count, char *buffer)
{
    size_t at = 0;
    for (struct reading *file = files; file < files + count; file++) {
        int fd = open_to_read(file->path, 0);
        file->error = fd < 0 ? errno : read_opened(fd, buffer + at, file);
        if (fd >= 0)
            close(fd);
        if (file->error)
            file->length = 0;
        file->start = at;
        at += file->length;
    }
}

static int take_readings(struct reading *files, PyObject *paths, PyObject *sizes, size_t room)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(paths); i++) {
        if (take_bytes(PyTuple_GET_ITEM(paths, i), &files[i].path) < 0)
            return -1;
        if (take_size(PyTuple_GET_ITEM(sizes, i), &files[i].size) < 0)
            return -1;
        if (files[i].size > room) {
            PyErr_SetString(PyExc_ValueError, "the buffer is smaller than the sizes together");
            return -1;
        }
        room -= files[i].size;
    }
    return 0;
}

static PyObject *reading_result(const struct reading *file)
{
    return Py_BuildValue("(inny#nI)", file->error, (Py_ssize_t)file->start, (Py_ssize_t)file->length,
                         (const char *)file->stat, (Py_ssize_t)(file->examined ? STAT_BYTES : 0),
                         (Py_ssize_t)file->extras.xattr_bytes, (unsigned)file->extras.flags);
}

static PyObject *read_files(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *path_list, *size_list, *paths = NULL, *sizes = NULL, *results = NULL;
    Py_buffer buffer;
    if (!PyArg_ParseTuple(arguments, "OOw*:read_files", &path_list, &size_list, &buffer))
        return NULL;
    struct reading *files = NULL;
    if ((paths = items(path_list, -1)) == NULL || (sizes = items(size_list, PyTuple_GET_SIZE(paths))) == NULL)
        goto done;
    Py_ssize_t count = PyTuple_GET_SIZE(paths);
    if ((files = calloc((size_t)count + 1, sizeof *files)) == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    if (take_readings(files, paths, sizes, (size_t)buffer.len) < 0)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    read_batch(files, count, buffer.buf);
    Py_END_ALLOW_THREADS
    results = PyList_New(count);
    for (Py_ssize_t i = 0; results != NULL && i < count; i++) {
        PyObject *result = reading_result(&files[i]);
        if (result == NULL)
            Py_CLEAR(results);
        else
            PyList_SET_ITEM(results, i, result);
    }
done:
    free(files);
    Py_XDECREF(paths);
    Py_XDECREF(sizes);
    PyBuffer_Release(&buffer);
    return results;
}

/* ---- write_files ---- */

struct writing {
    int directory;
    const char *name, *temp;
    size_t start, length;
    const unsigned char *head; /* of the file as it was: mode, owner, mtime */
    int error;
    const char *step; /* at which `error` came: create, write, close or rename */
    int owner_error, mode_error, times_error;
};

static int write_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO; /* it took nothing and says no reason: not to be asked for ever */
        if (n <= 0)
            return -1;
        data += n;
        length -= (size_t)n;
    }
    return 0;
}

static int is_owner(const unsigned char *head, uid_t uid, gid_t gid)
{
    return (uid_t)take(head + 4, 4) == uid && (gid_t)take(head + 8, 4) == gid;
}

/* Gives the file to its owner; where that is not allowed at least to its group, which a member of it may do. `st` is
 * looked at again where something changed. */
static int set_owner(int fd, const unsigned char *head, struct stat *st)
{
    uid_t uid = (uid_t)take(head + 4, 4);
    gid_t gid = (gid_t)take(head + 8, 4);
    if (is_owner(head, st->st_uid, st->st_gid))
        return 0;
    if (uid == (uid_t)-1 || gid == (gid_t)-1)
        return EINVAL; /* chown would take it for "leave it as it is" */
    int error = fchown(fd, uid, gid) == 0 ? 0 : errno; /* the first refusal says it */
    if (error && st->st_gid != gid && fchown(fd, (uid_t)-1, gid) < 0)
        return error;
    return fstat(fd, st) < 0 && !error ? errno : error;
}

/* After the owner: chown takes setuid and setgid away. They are given only where they mean what they meant, for the
 * recorded owner and group: a setuid program of somebody else must not become one of whoever restores. */
static int set_mode(int fd, const unsigned char *head, const struct stat *st)
{
    mode_t mode = (mode_t)take(head, 4) & 07777;
    if (st->st_uid != (uid_t)take(head + 4, 4))
        mode &= ~(mode_t)S_ISUID;
    if (st->st_gid != (gid_t)take(head + 8, 4))
        mode &= ~(mode_t)S_ISGID;
    return (st->st_mode & 07777) == mode || fchmod(fd, mode) == 0 ? 0 : errno;
}

/* The access time stays that of the writing: none is recorded. */
static int set_times(int fd, const unsigned char *head)
{
    int64_t mtime = (int64_t)take(head + MTIME_AT, 8), seconds = mtime / 1000000000, rest = mtime % 1000000000;
    if (rest < 0) {
        seconds -= 1;
        rest += 1000000000;
    }
    struct timespec times[2] = {{0, UTIME_OMIT}, {(time_t)seconds, (long)rest}};
    return futimens(fd, times) == 0 ? 0 : errno;
}

static int fill(int fd, struct writing *file, const char *data, int owner)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || write_all(fd, data, file->length) < 0)
        return -1;
    file->owner_error = owner ? set_owner(fd, file->head, &st) : 0;
    file->mode_error = set_mode(fd, file->head, &st);
    file->times_error = set_times(fd, file->head);
    return 0;
}

/* Under a temporary name, whole, with its metadata; then renamed, unless the two names are one. (A file without a name,
 * O_TMPFILE, linked when whole, took half as long again on ext4, and cannot replace another.) What will stay ours has
 * its permissions from the beginning, as far as the umask lets it: most need no chmod then, which is a twentieth of a
 * restore of small files. */
static void write_one(struct writing *file, const char *data, int owner)
{
    int fd, ours = !owner || is_owner(file->head, geteuid(), getegid());
    mode_t mode = ours ? (mode_t)take(file->head, 4) & 0777 : 0600;
    do
        fd = openat(file->directory, file->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    file->step = "create";
    if (fd < 0) {
        file->error = errno;
        return; /* a temp that was there already is not ours to remove */
    }
    file->step = "write";
    file->error = fill(fd, file, data, owner) < 0 ? errno : 0;
    if (close(fd) < 0 && file->error == 0) {
        file->step = "close";
        file->error = errno;
    }
    if (file->error == 0 && strcmp(file->temp, file->name) != 0 &&
        renameat(file->directory, file->temp, file->directory, file->name) < 0) {
        file->step = "rename";
        file->error = errno;
    }
    if (file->error)
        unlinkat(file->directory, file->temp, 0);
    else
        file->step = "";
}

static int take_writing(struct writing *file, PyObject *const columns[6], Py_ssize_t i, size_t room)
{
    if (take_descriptor(PyTuple_GET_ITEM(columns[0], i), &file->directory) < 0 ||
        take_name(PyTuple_GET_ITEM(columns[1], i), &file->name) < 0 ||
        take_name(PyTuple_GET_ITEM(columns[2], i), &file->temp) < 0 ||
        take_size(PyTuple_GET_ITEM(columns[3], i), &file->start) < 0 ||
        take_size(PyTuple_GET_ITEM(columns[4], i), &file->length) < 0)
        return -1;
    if (file->start > room || file->length > room - file->start) {
        PyErr_SetString(PyExc_ValueError, "a file's content lies outside the buffer");
        return -1;
    }
    char *head;
    Py_ssize_t head_bytes;
    if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(columns[5], i), &head, &head_bytes) < 0)
        return -1;
    if (head_bytes < HEAD_BYTES) {
        PyErr_SetString(PyExc_ValueError, "a head is shorter than 56 bytes");
        return -1;
    }
    file->head = (const unsigned char *)head;
    return 0;
}

static PyObject *writing_result(const struct writing *file)
{
    return Py_BuildValue("(isiii)", file->error, file->step, file->owner_error, file->mode_error, file->times_error);
}

/* All files that went well share one answer. */
static PyObject *writing_results(const struct writing *files, Py_ssize_t count)
{
    static const struct writing good = {.step = ""};
    PyObject *results = PyList_New(count), *done = writing_result(&good);
    for (Py_ssize_t i = 0; results != NULL && i < count; i++) {
        const struct writing *file = &files[i];
        int well = !file->error && !file->owner_error && !file->mode_error && !file->times_error;
        PyObject *result = well ? Py_XNewRef(done) : writing_result(file);
        if (result == NULL)
            Py_CLEAR(results);
        else
            PyList_SET_ITEM(results, i, result);
    }
    Py_XDECREF(done);
    return results;
}

static PyObject *write_files(PyObject *Py_UNUSED(module), PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"", "", "", "", "", "", "", "owner", NULL};
    PyObject *lists[6], *columns[6] = {NULL}, *results = NULL;
    struct writing *files = NULL;
    Py_buffer buffer;
    int owner;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOOOy*$p:write_files", names, &lists[0], &lists[1],
                                     &lists[2], &lists[3], &lists[4], &lists[5], &buffer, &owner))
        return NULL;
    for (int i = 0; i < 6; i++)
        if ((columns[i] = items(lists[i], i ? PyTuple_GET_SIZE(columns[0]) : -1)) == NULL)
            goto done;
    Py_ssize_t count = PyTuple_GET_SIZE(columns[0]);
    if ((files = calloc((size_t)count + 1, sizeof *files)) == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        if (take_writing(&files[i], columns, i, (size_t)buffer.len) < 0)
            goto done;
    Py_BEGIN_ALLOW_THREADS
    for (struct writing *file = files; file < files + count; file++)
        write_one(file, (const char *)buffer.buf + file->start, owner);
    Py_END_ALLOW_THREADS
    results = writing_results(files, count);
done:
    free(files);
    for (int i = 0; i < 6; i++)
        Py_XDECREF(columns[i]);
    PyBuffer_Release(&buffer);
    return results;
}

/* ---- the module ---- */

static PyMethodDef functions[] = {
    {"probe_directory", probe_directory, METH_O, PyDoc_STR("Whether a directory has xattrs, and its flags.")},
    {"read_files", read_files, METH_VARARGS, PyDoc_STR("Read files into one buffer.")},
    {"write_files", (PyCFunction)(void (*)(void))write_files, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("Create files out of one buffer.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siltstone.engine._files",
    .m_doc = PyDoc_STR("Many small files at once; files_plain.py is the same in Python."),
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__files(void)
{
    return PyModule_Create(&module_def);
}
