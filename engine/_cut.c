/* Where a content is cut, without the interpreter lock: see cut.py. The twin is cut_plain.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

enum { WINDOW = 64, BYTES = 256 };

/* What a content is cut by: a number for each value of a byte, and twice that; sizes in bytes; and the bits that are zero
   in the hash of a place where it is cut. The highest bit is none of them: it is lost where a hash is doubled early. */
struct rule {
    uint64_t gear[BYTES], twice[BYTES];
    size_t least, center, most;
    uint64_t seldom, often;
};

/* The first place from `start` on, before `stop`, whose hash has all these bits zero; or `stop`. The hash of a place is
   made of the WINDOW bytes before it: what was added before those has been shifted out. Two places at a time, as in the
   paper: each step waits for the one before. */
static size_t find(const unsigned char *data, size_t start, size_t stop, const struct rule *rule, uint64_t bits)
{
    uint64_t hash = 0, twice_bits = bits << 1;
    for (size_t at = start - WINDOW; at < start - 1; at++)
        hash = (hash << 1) + rule->gear[data[at]];
    for (; start + 1 < stop; start += 2) {
        hash = (hash << 2) + rule->twice[data[start - 1]];
        if (!(hash & twice_bits))
            return start;
        hash += rule->gear[data[start]];
        if (!(hash & bits))
            return start + 1;
    }
    if (start < stop && ((hash << 1) + rule->gear[data[start - 1]]) & bits)
        start++;
    return start;
}

/* The length of the first chunk of so many bytes. */
static size_t cut(const unsigned char *data, size_t size, const struct rule *rule)
{
    if (size <= rule->least)
        return size;
    size_t stop = size < rule->most ? size : rule->most;
    size_t middle = stop < rule->center ? stop : rule->center;
    size_t length = find(data, rule->least, middle, rule, rule->seldom);
    return length < middle ? length : find(data, middle, stop, rule, rule->often);
}

static uint64_t little_endian(const unsigned char *bytes)
{
    uint64_t number = 0;
    for (int i = 8; i--;)
        number = number << 8 | bytes[i];
    return number;
}

/* So many bits below the highest that one hash in `distance` has them all zero; that rounded down to a power of two. */
static uint64_t zeros(size_t distance)
{
    uint64_t bits = 0;
    for (; distance > 1; distance /= 2)
        bits = bits >> 1 | (uint64_t)1 << 62;
    return bits;
}

static PyObject *as_list(const size_t *ends, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list && i < count; i++) {
        PyObject *end = PyLong_FromSize_t(ends[i]);
        if (!end)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, i, end);
    }
    return list;
}

static PyObject *ends(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer data, gear;
    Py_ssize_t least, center, most;
    struct rule rule;
    if (!PyArg_ParseTuple(args, "y*y*nnn", &data, &gear, &least, &center, &most))
        return NULL;
    PyObject *list = NULL;
    size_t size = (size_t)data.len, count = 0, *found = NULL;
    if (gear.len != sizeof rule.gear || least < WINDOW || center < least || most < center) {
        PyErr_SetString(PyExc_ValueError, "a gear of 2048 bytes, and ascending sizes of 64 and more, are needed");
    } else if (!(found = PyMem_Malloc((size / (size_t)least + 1) * sizeof *found))) {
        PyErr_NoMemory();
    } else {
        for (int i = 0; i < BYTES; i++) {
            rule.gear[i] = little_endian((const unsigned char *)gear.buf + 8 * i);
            rule.twice[i] = rule.gear[i] << 1;
        }
        rule.least = (size_t)least, rule.center = (size_t)center, rule.most = (size_t)most;
        rule.seldom = zeros(rule.center * 2), rule.often = zeros(rule.center / 2);
        Py_BEGIN_ALLOW_THREADS
        for (size_t at = 0; at < size; found[count++] = at)
            at += cut((const unsigned char *)data.buf + at, size - at, &rule);
        Py_END_ALLOW_THREADS
        list = as_list(found, (Py_ssize_t)count);
    }
    PyMem_Free(found);
    PyBuffer_Release(&gear);
    PyBuffer_Release(&data);
    return list;
}

static PyMethodDef functions[] = {
    {"ends", ends, METH_VARARGS, PyDoc_STR("Where the chunks of a buffer end.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siltstone.engine._cut",
    .m_doc = PyDoc_STR("Cutting by content; cut_plain.py is the same in numpy."),
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__cut(void)
{
    return PyModule_Create(&module_def);
}
