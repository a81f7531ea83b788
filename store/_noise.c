/* Which stretches of a buffer look like noise: see noise_plain.py, which is the same in Python. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { PARTS = 8, PART = 128, LEAST = 32, BYTES = 256, LINE = 64 };

/* Has the samples brought that `is_noise` will look at: they lie apart, and to wait for each takes longer than all else. */
static void bring(const unsigned char *data, size_t length)
{
    size_t step = length > PARTS * PART ? (length - PART) / (PARTS - 1) : PART;
    for (size_t at = 0; at < length && at <= PARTS * step; at += step)
        for (size_t line = at; line < at + PART && line < length; line += LINE)
            __builtin_prefetch(data + line);
}

static void count(const unsigned char *data, size_t length, unsigned counts[BYTES])
{
    for (size_t at = 0; at < length; at++)
        counts[data[at]]++;
}

static int is_noise(const unsigned char *data, size_t length)
{
    unsigned counts[BYTES] = {0}, squares = 0; /* at most 2^20 */
    double sampled = length;
    if (length < LEAST)
        return 0;
    if (length <= PARTS * PART) {
        count(data, length, counts);
    } else {
        size_t step = (length - PART) / (PARTS - 1);
        sampled = PARTS * PART;
        for (size_t part = 0; part < PARTS; part++)
            count(data + part * step, PART, counts);
    }
    for (int value = 0; value < BYTES; value++)
        squares += counts[value] * counts[value];
    double pairs = (squares - sampled) / 2; /* of a value seen c times there are c (c - 1) / 2 */
    double expected = sampled * (sampled - 1) / 2 / BYTES, more = pairs - expected - 1;
    return more <= 0 || more * more < 16 * expected;
}

/* Start and end of a chunk (id, start, end). */
static int take_span(PyObject *chunk, Py_ssize_t room, Py_ssize_t *start, Py_ssize_t *end)
{
    if (!PyArg_ParseTuple(chunk, "Onn", &(PyObject *){NULL}, start, end))
        return -1;
    if (*start < 0 || *end < *start || *end > room) {
        PyErr_SetString(PyExc_ValueError, "a chunk lies outside the buffer");
        return -1;
    }
    return 0;
}

static PyObject *noise(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer buffer;
    PyObject *chunks;
    if (!PyArg_ParseTuple(args, "y*O!", &buffer, &PyList_Type, &chunks))
        return NULL;
    const unsigned char *data = buffer.buf;
    Py_ssize_t start = 0, end = 0, number = PyList_GET_SIZE(chunks);
    PyObject *found = PyBytes_FromStringAndSize(NULL, number);
    if (found && number && take_span(PyList_GET_ITEM(chunks, 0), buffer.len, &start, &end) < 0)
        Py_CLEAR(found);
    for (Py_ssize_t i = 0; found && i < number; i++) {
        Py_ssize_t next = 0, next_end = 0;
        if (i + 1 < number && take_span(PyList_GET_ITEM(chunks, i + 1), buffer.len, &next, &next_end) < 0) {
            Py_CLEAR(found);
            break;
        }
        bring(data + next, (size_t)(next_end - next));
        PyBytes_AS_STRING(found)[i] = (char)is_noise(data + start, (size_t)(end - start));
        start = next, end = next_end;
    }
    PyBuffer_Release(&buffer);
    return found;
}

static PyMethodDef functions[] = {
    {"noise", noise, METH_VARARGS, PyDoc_STR("Which chunks of a buffer look like noise.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siltstone.store._noise",
    .m_doc = PyDoc_STR("Telling noise; noise_plain.py is the same in Python."),
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__noise(void)
{
    return PyModule_Create(&module_def);
}
