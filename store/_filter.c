/* Bloom filters of index segments: see filter_plain.py, which is the same in Python. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

enum { ENTRY = 32, FIRST = 8, HASHES = 4, AHEAD = 8 };

/* The bits of one id, of a filter of `size` bits. */
struct places {
    uint64_t bit[HASHES];
};

static struct places places_of(const unsigned char *id, uint64_t size)
{
    struct places found;
    for (int i = 0; i < HASHES; i++) {
        const unsigned char *at = id + FIRST + 4 * i;
        uint32_t word = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        found.bit[i] = word % size;
    }
    return found;
}

static int is_set(const unsigned char *bits, struct places places)
{
    for (int i = 0; i < HASHES; i++)
        if (!(bits[places.bit[i] >> 3] >> (places.bit[i] & 7) & 1))
            return 0;
    return 1;
}

static int has_bits(const Py_buffer *bits)
{
    if (bits->len == 0)
        PyErr_SetString(PyExc_ValueError, "a filter without bits");
    return bits->len != 0;
}

static PyObject *mark(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer bits, entries;
    if (!PyArg_ParseTuple(args, "w*y*", &bits, &entries))
        return NULL;
    int failed = !has_bits(&bits);
    if (!failed && entries.len % ENTRY) {
        PyErr_SetString(PyExc_ValueError, "no whole entries");
        failed = 1;
    }
    for (Py_ssize_t at = 0; !failed && at < entries.len; at += ENTRY) {
        struct places places = places_of((unsigned char *)entries.buf + at, (uint64_t)bits.len * 8);
        for (int i = 0; i < HASHES; i++)
            ((unsigned char *)bits.buf)[places.bit[i] >> 3] |= 1 << (places.bit[i] & 7);
    }
    PyBuffer_Release(&entries);
    PyBuffer_Release(&bits);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

/* The bits of the chunk, which are on their way into the cache by now. -1 with an error set: it is no id. */
static int look(PyObject *chunk, const Py_buffer *bits, struct places *places)
{
    if (!PyBytes_Check(chunk) || PyBytes_GET_SIZE(chunk) != ENTRY) {
        PyErr_SetString(PyExc_ValueError, "no chunk id");
        return -1;
    }
    *places = places_of((unsigned char *)PyBytes_AS_STRING(chunk), (uint64_t)bits->len * 8);
    for (int i = 0; i < HASHES; i++)
        __builtin_prefetch((unsigned char *)bits->buf + (places->bit[i] >> 3));
    return 0;
}

/* Adds to `found` what passes; looks some chunks ahead. */
static int pass(PyObject *chunks, const Py_buffer *bits, PyObject *found)
{
    struct places places[AHEAD];
    Py_ssize_t number = PyList_GET_SIZE(chunks);
    for (Py_ssize_t i = 0; i < number + AHEAD; i++) {
        Py_ssize_t due = i - AHEAD;
        if (due >= 0 && is_set(bits->buf, places[due % AHEAD]) && PyList_Append(found, PyList_GET_ITEM(chunks, due)))
            return -1;
        if (i < number && look(PyList_GET_ITEM(chunks, i), bits, &places[i % AHEAD]))
            return -1;
    }
    return 0;
}

static PyObject *passing(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer bits;
    PyObject *chunks;
    if (!PyArg_ParseTuple(args, "y*O!", &bits, &PyList_Type, &chunks))
        return NULL;
    PyObject *found = has_bits(&bits) ? PyList_New(0) : NULL;
    if (found != NULL && pass(chunks, &bits, found))
        Py_CLEAR(found);
    PyBuffer_Release(&bits);
    return found;
}

static PyMethodDef functions[] = {
    {"mark", mark, METH_VARARGS, PyDoc_STR("Have a filter let the chunks of some entries pass.")},
    {"passing", passing, METH_VARARGS, PyDoc_STR("The chunks that a filter lets pass.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siltstone.store._filter",
    .m_doc = PyDoc_STR("Bloom filters of index segments; filter_plain.py is the same in Python."),
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__filter(void)
{
    return PyModule_Create(&module_def);
}
