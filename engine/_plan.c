/* Small files into the plan of a restore, a folder at a time: plan_plain.py says in Python what this does.
 *
 * Rule: it holds the interpreter lock, and a row that is not quite what it is meant for is left to the caller, damaged
 * ones too: nothing is said to be wrong here.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* A row, see entry.py. */
enum { MODE_AT = 4, SIZE_AT = 20, LENGTHS_AT = 60, PATH_AT = 66, EXTENT = 40, ID = 32 };

/* A frame of the plan (FrameWork) or none, its parts, and the number of the chunk that was planned last. All are held. */
struct frame {
    PyObject *work, *ids, *lengths, *starts, *needed, *small;
    Py_ssize_t slot;
};

static uint64_t number(const char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes; i--;)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

static void leave(struct frame *frame)
{
    Py_CLEAR(frame->ids);
    Py_CLEAR(frame->lengths);
    Py_CLEAR(frame->starts);
    Py_CLEAR(frame->needed);
    Py_CLEAR(frame->small);
    Py_CLEAR(frame->work);
}

static int enter(struct frame *frame, PyObject *work, Py_ssize_t slot)
{
    struct frame new = {.work = Py_NewRef(work), .slot = slot};
    new.ids = PyObject_GetAttrString(work, "ids");
    new.lengths = new.ids ? PyObject_GetAttrString(work, "lengths") : NULL;
    new.starts = new.lengths ? PyObject_GetAttrString(work, "starts") : NULL;
    new.needed = new.starts ? PyObject_GetAttrString(work, "needed") : NULL;
    new.small = new.needed ? PyObject_GetAttrString(work, "small") : NULL;
    int well = new.small && PyList_Check(new.ids) && PyList_Check(new.lengths) && PyList_Check(new.starts) &&
               PyByteArray_Check(new.needed) && PyList_Check(new.small);
    Py_ssize_t count = well ? PyList_GET_SIZE(new.ids) : 0;
    if (well && PyList_GET_SIZE(new.lengths) == count && PyList_GET_SIZE(new.starts) == count &&
        PyByteArray_GET_SIZE(new.needed) == count && slot >= -1 && slot < count) {
        leave(frame);
        *frame = new;
        return 0;
    }
    leave(&new);
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "not a frame of the plan");
    return -1;
}

static int is_chunk(const struct frame *frame, Py_ssize_t slot, const char *id)
{
    if (slot < 0 || slot >= PyList_GET_SIZE(frame->ids))
        return 0;
    PyObject *found = PyList_GET_ITEM(frame->ids, slot);
    return PyBytes_Check(found) && PyBytes_GET_SIZE(found) == ID && memcmp(PyBytes_AS_STRING(found), id, ID) == 0;
}

/* Goes to the frame and the chunk before this one, if it is known. 1, 0, or -1 with an error. */
static int look_up(struct frame *frame, PyObject *known, const char *id)
{
    PyObject *key = PyBytes_FromStringAndSize(id, ID);
    PyObject *place = key ? PyDict_GetItemWithError(known, key) : NULL;
    Py_XDECREF(key);
    if (place == NULL)
        return PyErr_Occurred() ? -1 : 0;
    PyObject *work;
    Py_ssize_t slot;
    if (!PyArg_ParseTuple(place, "On", &work, &slot))
        return -1;
    if (work != frame->work)
        return enter(frame, work, slot - 1) < 0 ? -1 : is_chunk(frame, slot, id);
    frame->slot = slot - 1;
    return is_chunk(frame, slot, id);
}

/* Where the content of these extents begins in the plaintext of one frame, of which they are a stretch; or -1, with an
 * error or because they are not. */
static int64_t stretch(struct frame *frame, PyObject *known, const char *extents, Py_ssize_t count, uint64_t *length)
{
    if (frame->work == NULL || !is_chunk(frame, frame->slot + 1, extents))
        if (look_up(frame, known, extents) <= 0)
            return -1;
    int64_t start = 0;
    uint64_t end = 0;
    Py_ssize_t first = frame->slot + 1;
    for (Py_ssize_t i = 0; i < count; i++, extents += EXTENT) {
        uint64_t offset = number(extents + ID, 4), size = number(extents + ID + 4, 4);
        if (!is_chunk(frame, first + i, extents))
            return -1;
        uint64_t at = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(frame->starts, first + i));
        uint64_t whole = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(frame->lengths, first + i));
        if (PyErr_Occurred() || offset + size > whole || (i && (offset || at != end)))
            return -1;
        if (!i)
            start = (int64_t)(at + offset);
        end = at + offset + size;
    }
    char *needed = PyByteArray_AS_STRING(frame->needed);
    memset(needed + first, 1, (size_t)count);
    frame->slot = first + count - 1;
    *length = end - (uint64_t)start;
    return start;
}

static int append(PyObject *list, PyObject *folder, const char *name, Py_ssize_t size, int64_t start, uint64_t length,
                  PyObject *row)
{
    PyObject *file = Py_BuildValue("(Oy#LKO)", folder, name, size, (long long)start, (unsigned long long)length, row);
    int answer = file ? PyList_Append(list, file) : -1;
    Py_XDECREF(file);
    return answer;
}

/* Plans a row: 1, 0 where it is not for here, -1 with an error. */
static int plan(PyObject *item, Py_ssize_t cut, PyObject *folder, PyObject *prefix, struct frame *frame, PyObject *known,
                PyObject *empty, uint64_t *bytes)
{
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) < 2)
        return 0;
    PyObject *path = PyTuple_GET_ITEM(item, 0), *row = PyTuple_GET_ITEM(item, 1);
    if (!PyBytes_Check(path) || !PyBytes_Check(row) || PyBytes_GET_SIZE(row) < PATH_AT)
        return 0;
    Py_ssize_t above = PyBytes_GET_SIZE(prefix), size = PyBytes_GET_SIZE(path) - cut - above;
    const char *below = PyBytes_AS_STRING(path) + cut, *data = PyBytes_AS_STRING(row);
    if (size <= 0 || memcmp(below, PyBytes_AS_STRING(prefix), (size_t)above) != 0)
        return 0;
    if ((data[MODE_AT + 1] & 0xF0) != 0x80 || memchr(below + above, '/', (size_t)size) != NULL)
        return 0;
    Py_ssize_t count = (Py_ssize_t)number(data + LENGTHS_AT + 2, 4);
    Py_ssize_t start = PATH_AT + (Py_ssize_t)number(data + LENGTHS_AT, 2);
    if (PyBytes_GET_SIZE(row) != start + count * EXTENT)
        return 0;
    int64_t at = 0;
    uint64_t length = 0;
    if (count && (at = stretch(frame, known, data + start, count, &length)) < 0)
        return PyErr_Occurred() ? -1 : 0;
    *bytes += number(data + SIZE_AT, 8);
    return append(count ? frame->small : empty, folder, below + above, size, at, length, row) < 0 ? -1 : 1;
}

static PyObject *plan_small(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *rows, *folder, *prefix, *work, *known, *empty, *answer = NULL;
    Py_ssize_t at, cut, slot;
    if (!PyArg_ParseTuple(arguments, "O!nnSSOnO!O!:plan_small", &PyList_Type, &rows, &at, &cut, &folder, &prefix, &work,
                          &slot, &PyDict_Type, &known, &PyList_Type, &empty))
        return NULL;
    if (at < 0 || cut < 0) {
        PyErr_SetString(PyExc_ValueError, "a negative place");
        return NULL;
    }
    struct frame frame = {.slot = slot};
    if (work != Py_None && enter(&frame, work, slot) < 0)
        return NULL;
    uint64_t bytes = 0;
    int planned = 1;
    while (at < PyList_GET_SIZE(rows)) {
        planned = plan(PyList_GET_ITEM(rows, at), cut, folder, prefix, &frame, known, empty, &bytes);
        if (planned <= 0)
            break;
        at++;
    }
    if (planned >= 0)
        answer = Py_BuildValue("(nOnK)", at, frame.work ? frame.work : Py_None, frame.slot, (unsigned long long)bytes);
    leave(&frame);
    return answer;
}

static PyMethodDef functions[] = {
    {"plan_small", plan_small, METH_VARARGS, PyDoc_STR("Plan the small files of a folder.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siltstone.engine._plan",
    .m_doc = PyDoc_STR("Small files into the plan of a restore; plan_plain.py is the same in Python."),
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__plan(void)
{
    return PyModule_Create(&module_def);
}
