/* Which stretches of a buffer look like noise: see noise_plain.py, which is the same in Python. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { PARTS = 8, PART = 128, LEAST = 32, BYTES = 256, LINE = 64 };

struct span {
    const unsigned char *data;
    size_t length;
};

/* Has the samples brought that `is_noise` will look at: they lie apart, and to wait for each takes longer than all else. */
static void bring(const struct span *chunk)
{
    size_t step = chunk->length > PARTS * PART ? (chunk->length - PART) / (PARTS - 1) : PART;
    for (size_t at = 0; at < PARTS * step && at < chunk->length; at += step)
        for (size_t line = at; line < at + PART && line < chunk->length; line += LINE)
            __builtin_prefetch(chunk->data + line);
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

/* Where the chunks (id, start, end) lie; NULL with an error set. */
static struct span *take_spans(PyObject *chunks, const Py_buffer *buffer)
{
    Py_ssize_t start, end, number = PyList_GET_SIZE(chunks);
    struct span *spans = PyMem_New(struct span, number + 1);
    if (spans == NULL)
        return (struct span *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < number; i++) {
        if (!PyArg_ParseTuple(PyList_GET_ITEM(chunks, i), "Onn", &(PyObject *){NULL}, &start, &end))
            goto failed;
        if (start < 0 || end < start || end > buffer->len) {
            PyErr_SetString(PyExc_ValueError, "a chunk lies outside the buffer");
            goto failed;
        }
        spans[i] = (struct span){(const unsigned char *)buffer->buf + start, (size_t)(end - start)};
    }
    return spans;
failed:
    PyMem_Free(spans);
    return NULL;
}

static PyObject *noise(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer buffer;
    PyObject *chunks, *found = NULL;
    if (!PyArg_ParseTuple(args, "y*O!", &buffer, &PyList_Type, &chunks))
        return NULL;
    struct span *spans = take_spans(chunks, &buffer);
    if (spans != NULL)
        found = PyBytes_FromStringAndSize(NULL, PyList_GET_SIZE(chunks));
    for (Py_ssize_t i = 0; found && i < PyBytes_GET_SIZE(found); i++) {
        if (i + 1 < PyBytes_GET_SIZE(found))
            bring(&spans[i + 1]);
        PyBytes_AS_STRING(found)[i] = (char)is_noise(spans[i].data, spans[i].length);
    }
    PyMem_Free(spans);
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
