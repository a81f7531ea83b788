/* Headers of the usual files and folders of a tar archive: a ustar block, with the time alone in a pax record before it.
 *
 * Rule: what tar_plain.py reads as a member is read alike here, or is None: that, not this file, says what is out of the
 * ordinary. The tests hold one against the other. Nothing is read beyond the buffer that is given.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

enum { BLOCK = 512, NAME = 100, KIND = 156, TARGET = 157, MAGIC = 257, OWNER = 265, GROUP = 297, PREFIX = 345 };
enum { REGULAR = 0100000, FOLDER = 0040000, PERMISSIONS = 07777 };

/* As entry.HEAD: mode, uid, gid, nlink, size, mtime_ns, ctime_ns, inode, rdev; little-endian. */
enum { HEAD = 56 };

struct numbers {
    uint64_t mode, uid, gid, size, seconds;
};

/* So many octal digits and a zero byte. */
static int octal(const unsigned char *field, int digits, uint64_t *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++) {
        if (field[i] < '0' || field[i] > '7')
            return 0;
        *value = *value << 3 | (uint64_t)(field[i] - '0');
    }
    return !field[digits];
}

/* The numbers of a block, when its checksum is right. */
static int read_numbers(const unsigned char *block, struct numbers *into)
{
    uint64_t said, sum = 8 * ' ';
    if (!octal(block + 100, 7, &into->mode) || !octal(block + 108, 7, &into->uid) || !octal(block + 116, 7, &into->gid)
        || !octal(block + 124, 11, &into->size) || !octal(block + 136, 11, &into->seconds)
        || !octal(block + 148, 6, &said) || block[155] != ' ')
        return 0;
    for (int i = 0; i < BLOCK; i++)
        sum += i < 148 || i > 155 ? block[i] : 0;
    return sum == said;
}

/* `NN mtime=SECONDS.FRACTION\n` and nothing else; the time in nanoseconds. */
static int read_time(const unsigned char *body, uint64_t size, uint64_t *nanoseconds)
{
    if (size < 11 || size > 40 || memcmp(body + 2, " mtime=", 7) || body[size - 1] != '\n'
        || body[0] < '0' || body[0] > '9' || body[1] < '0' || body[1] > '9'
        || (uint64_t)((body[0] - '0') * 10 + body[1] - '0') != size)
        return 0;
    const unsigned char *at = body + 9, *end = body + size - 1;
    uint64_t seconds = 0, fraction = 0;
    int whole = 0, digits = 0;
    for (; at < end && *at >= '0' && *at <= '9' && whole < 10; at++, whole++)
        seconds = seconds * 10 + (uint64_t)(*at - '0');
    if (!whole || at == end || *at++ != '.' || seconds > INT64_MAX / 1000000000 - 1)
        return 0;
    for (; at < end && *at >= '0' && *at <= '9' && digits < 9; at++, digits++)
        fraction = fraction * 10 + (uint64_t)(*at - '0');
    if (!digits || at != end)
        return 0;
    for (; digits < 9; digits++)
        fraction *= 10;
    *nanoseconds = seconds * 1000000000 + fraction;
    return 1;
}

/* The path with one slash before it and none behind; NULL without an error when it is not as it would be written. */
static PyObject *rooted(const unsigned char *name, Py_ssize_t length)
{
    while (length && name[0] == '/')
        name++, length--;
    while (length && name[length - 1] == '/')
        length--;
    Py_ssize_t start = 0; /* of the component at hand */
    for (Py_ssize_t i = 0; i <= length; i++)
        if (i == length || name[i] == '/') {
            if (i == start || (i == start + 1 && name[start] == '.'))
                return NULL;
            start = i + 1;
        }
    PyObject *path = PyBytes_FromStringAndSize(NULL, length + 1);
    if (path) {
        PyBytes_AS_STRING(path)[0] = '/';
        memcpy(PyBytes_AS_STRING(path) + 1, name, (size_t)length);
    }
    return path;
}

static void put(unsigned char **at, uint64_t value, int bytes)
{
    for (; bytes; bytes--, value >>= 8)
        *(*at)++ = (unsigned char)value;
}

static PyObject *head_of(uint64_t mode, const struct numbers *of, uint64_t size, uint64_t mtime)
{
    unsigned char head[HEAD] = {0}, *at = head;
    put(&at, mode, 4);
    put(&at, of->uid, 4);
    put(&at, of->gid, 4);
    put(&at, 1, 4);
    put(&at, size, 8);
    put(&at, mtime, 8);
    return PyBytes_FromStringAndSize((const char *)head, HEAD);
}

static PyObject *text(const unsigned char *field)
{
    return PyUnicode_DecodeUTF8((const char *)field, (Py_ssize_t)strnlen((const char *)field, 32), "surrogateescape");
}

/* The member of a block that stands at `begin` of the buffer. */
static PyObject *member(const unsigned char *block, Py_ssize_t begin, const struct numbers *of, uint64_t mtime)
{
    int folder = block[KIND] == '5', gnu = !memcmp(block + MAGIC, "ustar  \0", 8);
    Py_ssize_t length = (Py_ssize_t)strnlen((const char *)block, NAME);
    if ((!folder && block[KIND] != '0' && block[KIND]) || (block[PREFIX] && !gnu)
        || (!folder && length && block[length - 1] == '/'))
        Py_RETURN_NONE;
    PyObject *path = rooted(block, length);
    if (!path) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    uint64_t mode = (of->mode & PERMISSIONS) | (folder ? FOLDER : REGULAR), size = folder ? 0 : of->size;
    PyObject *head = head_of(mode, of, size, mtime), *owner = text(block + OWNER), *group = text(block + GROUP);
    if (!head || !owner || !group) {
        Py_DECREF(path);
        Py_XDECREF(head);
        Py_XDECREF(owner);
        Py_XDECREF(group);
        return NULL;
    }
    return Py_BuildValue("NKNK(KNKN)n", path, (unsigned long long)mode, head, (unsigned long long)size,
                         (unsigned long long)of->uid, owner, (unsigned long long)of->gid, group, begin + BLOCK);
}

static PyObject *read_usual(const unsigned char *data, Py_ssize_t length)
{
    struct numbers first, of;
    uint64_t mtime;
    if (length < BLOCK || !read_numbers(data, &first))
        Py_RETURN_NONE;
    if (data[KIND] != 'x')
        return member(data, 0, &first, first.seconds * 1000000000);
    if (length < 3 * BLOCK || !read_time(data + BLOCK, first.size, &mtime) || !read_numbers(data + 2 * BLOCK, &of))
        Py_RETURN_NONE;
    return member(data + 2 * BLOCK, 2 * BLOCK, &of, mtime);
}

static PyObject *usual(PyObject *self, PyObject *given)
{
    (void)self;
    Py_buffer data;
    if (PyObject_GetBuffer(given, &data, PyBUF_SIMPLE))
        return NULL;
    PyObject *found = read_usual(data.buf, data.len);
    PyBuffer_Release(&data);
    return found;
}

static PyMethodDef functions[] = {
    {"usual", usual, METH_O,
     PyDoc_STR("Path, mode, head, size, owner and length of the headers at the beginning of a buffer, or None.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siltstone.engine._tar_plain",
    .m_doc = PyDoc_STR("Headers of usual members; tar_plain.py says which these are."),
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__tar_plain(void)
{
    return PyModule_Create(&module_def);
}
