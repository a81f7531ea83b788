/* Headers of the usual members of a tar archive, made of the rows that a manifest has of them.
 *
 * Rule: the bytes are those that usual_member of archive_header.py makes, or the answer is None: that, not this file,
 * says what is out of the ordinary. The tests hold one against the other. A row that is none is None as well.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 512, NAME = 100, OWNER_NAME = 31, REGULAR = 0100000, FOLDER = 0040000, TYPE = 0170000 };
/* Of a row, see entry.py. */
enum { MODE_AT = 4, UID_AT = 8, GID_AT = 12, MTIME_AT = 28, PATH_SIZE_AT = 60, COUNT_AT = 62, PATH_AT = 66 };
enum { CHUNK_ID = 32, EXTENT = 40 };

static const uint64_t SECOND = 1000000000, TEN_DIGITS = 1000000000, MOST_SECONDS = (1ULL << 33) - 1;
static const uint64_t MOST_NUMBER = (1ULL << 21) - 1, DIFFERENCE = 1ULL << 31;

static uint64_t number(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static int is_ascii(const unsigned char *text, Py_ssize_t length)
{
    unsigned char all = 0;
    for (Py_ssize_t i = 0; i < length; i++)
        all |= text[i];
    return all < 0x80;
}

/* So many octal digits; what follows them is zero already. */
static void octal(unsigned char *field, int digits, uint64_t value)
{
    for (int i = digits - 1; i >= 0; i--, value >>= 3)
        field[i] = (unsigned char)('0' + (value & 7));
}

struct member {
    uint64_t mode, uid, gid, size, seconds;
    const char *owner, *group;
    Py_ssize_t owner_size, group_size;
    unsigned char kind;
};

/* A ustar block over zeros that has its name already. */
static void fill_block(unsigned char *block, const struct member *of)
{
    octal(block + 100, 7, of->mode);
    octal(block + 108, 7, of->uid);
    octal(block + 116, 7, of->gid);
    octal(block + 124, 11, of->size);
    octal(block + 136, 11, of->seconds);
    memset(block + 148, ' ', 8);
    block[156] = of->kind;
    memcpy(block + 257, "ustar\00000", 8);
    memcpy(block + 265, of->owner, (size_t)of->owner_size);
    memcpy(block + 297, of->group, (size_t)of->group_size);
    octal(block + 329, 7, 0);
    octal(block + 337, 7, 0);
    uint64_t sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += block[i];
    octal(block + 148, 6, sum);
    block[154] = 0;
}

/* A pax record of the time, and the block before it. */
static void fill_time(unsigned char *blocks, uint64_t seconds, uint64_t rest)
{
    char record[48];
    int length = snprintf(record, sizeof record, " mtime=%llu.%09llu", (unsigned long long)seconds,
                          (unsigned long long)rest);
    while (record[length - 1] == '0')
        length--;
    struct member header = {.mode = 0644, .size = (uint64_t)length + 3, .kind = 'x', .owner = "", .group = ""};
    memcpy(blocks, "././@PaxHeader", 14);
    fill_block(blocks, &header);
    blocks += BLOCK;
    blocks[0] = (unsigned char)('0' + header.size / 10); /* two digits: the record has 20 bytes or more */
    blocks[1] = (unsigned char)('0' + header.size % 10);
    memcpy(blocks + 2, record, (size_t)length);
    blocks[2 + length] = '\n';
}

/* The name of an owner or group, where it is known: 1. 0: it does not fit. -1: an error is set. */
static int look_up(PyObject *names, uint64_t id, const char **name, Py_ssize_t *size)
{
    PyObject *key = PyLong_FromUnsignedLongLong(id);
    PyObject *found = key ? PyDict_GetItemWithError(names, key) : NULL;
    Py_XDECREF(key);
    *name = "", *size = 0;
    if (!found)
        return PyErr_Occurred() ? -1 : 1;
    if (!PyBytes_Check(found))
        return 0;
    *name = PyBytes_AS_STRING(found), *size = PyBytes_GET_SIZE(found);
    return *size <= OWNER_NAME && is_ascii((const unsigned char *)*name, *size);
}

/* The size of the content, or -1 where it has holes or cells that differ. */
static int64_t content_size(const unsigned char *extents, uint64_t count)
{
    static const unsigned char hole[CHUNK_ID];
    uint64_t size = 0;
    for (; count; count--, extents += EXTENT) {
        if (number(extents + CHUNK_ID, 4) >= DIFFERENCE || !memcmp(extents, hole, CHUNK_ID))
            return -1;
        size += number(extents + CHUNK_ID + 4, 4);
    }
    return (int64_t)size;
}

static PyObject *blocks_of(const struct member *of, const unsigned char *name, Py_ssize_t length, int64_t rest,
                           Py_ssize_t before)
{
    Py_ssize_t size = before + (rest ? 3 : 1) * BLOCK;
    PyObject *blocks = PyBytes_FromStringAndSize(NULL, size);
    if (!blocks)
        return NULL;
    unsigned char *at = (unsigned char *)PyBytes_AS_STRING(blocks);
    memset(at, 0, (size_t)size);
    at += before;
    if (rest) {
        fill_time(at, of->seconds, (uint64_t)rest);
        at += 2 * BLOCK;
    }
    memcpy(at, name, (size_t)length);
    if (of->kind == '5')
        at[length] = '/';
    fill_block(at, of);
    return blocks;
}

static PyObject *usual(const unsigned char *row, Py_ssize_t size, PyObject *owners, PyObject *groups, Py_ssize_t before)
{
    if (size < PATH_AT)
        Py_RETURN_NONE;
    uint64_t mode = number(row + MODE_AT, 4), path_size = number(row + PATH_SIZE_AT, 2), count = number(row + COUNT_AT, 4);
    int64_t mtime = (int64_t)number(row + MTIME_AT, 8);
    int folder = (mode & TYPE) == FOLDER;
    if ((!folder && (mode & TYPE) != REGULAR) || (uint64_t)size != PATH_AT + path_size + EXTENT * count || mtime < 0)
        Py_RETURN_NONE;
    const unsigned char *name = row + PATH_AT, *extents = name + path_size;
    int64_t content = content_size(extents, count);
    struct member of = {.mode = mode & 07777, .uid = number(row + UID_AT, 4), .gid = number(row + GID_AT, 4),
                        .size = (uint64_t)content, .seconds = (uint64_t)mtime / SECOND, .kind = folder ? '5' : '0'};
    while (name < extents && *name == '/')
        name++;
    Py_ssize_t length = extents - name;
    if (!length)
        name = (const unsigned char *)".", length = 1;
    if (content < 0 || of.size > MOST_SECONDS || of.uid > MOST_NUMBER || of.gid > MOST_NUMBER || length + folder > NAME
        || of.seconds < TEN_DIGITS || of.seconds > MOST_SECONDS || !is_ascii(name, length))
        Py_RETURN_NONE;
    int fits = look_up(owners, of.uid, &of.owner, &of.owner_size);
    if (fits > 0)
        fits = look_up(groups, of.gid, &of.group, &of.group_size);
    if (fits < 0)
        return NULL;
    if (!fits)
        Py_RETURN_NONE;
    PyObject *blocks = blocks_of(&of, name, length, mtime % (int64_t)SECOND, before);
    return blocks ? Py_BuildValue("Ny#Ly#", blocks, row + PATH_AT, (Py_ssize_t)path_size, (long long)content, extents,
                                  (Py_ssize_t)(EXTENT * count))
                  : NULL;
}

static PyObject *usual_member(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *row, *owners, *groups;
    Py_ssize_t before;
    if (!PyArg_ParseTuple(arguments, "SO!O!n", &row, &PyDict_Type, &owners, &PyDict_Type, &groups, &before))
        return NULL;
    if (before < 0 || before >= BLOCK) {
        PyErr_SetString(PyExc_ValueError, "padding is less than a block");
        return NULL;
    }
    return usual((const unsigned char *)PyBytes_AS_STRING(row), PyBytes_GET_SIZE(row), owners, groups, before);
}

static PyMethodDef functions[] = {
    {"usual_member", usual_member, METH_VARARGS,
     PyDoc_STR("Headers behind so many zeros, path, size and packed extents of a row, or None.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siltstone.engine._tar_usual",
    .m_doc = PyDoc_STR("Headers of usual members; archive_header.py says which these are."),
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__tar_usual(void)
{
    return PyModule_Create(&module_def);
}
