/* Making and applying differences of 8 KiB pages, without the interpreter lock. differences.py has the format.
 *
 * Rule: nothing is believed of what is applied: every length and place is checked before bytes move. A difference that
 * is being made is given up as soon as it would be longer than its room.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

enum { PAGE = 8192, MOST_PAGES = 256 };

/* ---- making: copies of 8 bytes or more from anywhere in the old page, found by a table of its words ---- */

/* A copy of less costs as much as it saves. Rows begin at multiples of 8, line pointers at multiples of 4. */
enum { LEAST = 8, STEP = 4, SLOTS_LOG = 12, LOST = 24 };

struct output {
    unsigned char *next, *end;
};

static int put_number(struct output *out, uint32_t number)
{
    do {
        if (out->next == out->end)
            return -1;
        *out->next++ = (unsigned char)((number & 127) | (number > 127 ? 128 : 0));
        number >>= 7;
    } while (number);
    return 0;
}

static int put_literals(struct output *out, const unsigned char *from, size_t length)
{
    if (put_number(out, (uint32_t)length) || (size_t)(out->end - out->next) < length)
        return -1;
    memcpy(out->next, from, length);
    out->next += length;
    return 0;
}

static inline uint64_t word(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t slot(uint64_t value)
{
    return (uint32_t)(value * 0x9E3779B97F4A7C15u >> (64 - SLOTS_LOG));
}

static void fill_table(uint16_t *table, const unsigned char *old)
{
    memset(table, 0xFF, sizeof(uint16_t) << SLOTS_LOG);
    for (int at = PAGE - LEAST; at >= 0; at -= STEP) /* the first of equal ones stays */
        table[slot(word(old + at))] = (uint16_t)at;
}

static int matching(const unsigned char *one, const unsigned char *other, int most)
{
    int length = 0;
    while (length + 8 <= most && word(one + length) == word(other + length))
        length += 8;
    while (length < most && one[length] == other[length])
        length++;
    return length;
}

/* Where in the old page 8 bytes or more of the new one's `at` are: in the same place, as far away as the last copy was,
 * or where the table says; -1: nowhere. */
static int found(const unsigned char *old, const unsigned char *new, int at, int shift, const uint16_t *table)
{
    uint64_t wanted = word(new + at);
    if (word(old + at) == wanted)
        return at;
    int shifted = at + shift;
    if (shifted >= 0 && shifted <= PAGE - LEAST && word(old + shifted) == wanted)
        return shifted;
    if (table) {
        int known = table[slot(wanted)];
        if (known < PAGE && word(old + known) == wanted)
            return known;
    }
    return -1;
}

static int make_page(struct output *out, const unsigned char *old, const unsigned char *new)
{
    uint16_t table[1 << SLOTS_LOG];
    const uint16_t *filled = NULL;
    int at = 0, literal = 0, shift = 0; /* literals from `literal` to `at` are not put yet */
    while (at < PAGE) {
        int from = at <= PAGE - LEAST ? found(old, new, at, shift, filled) : -1;
        if (from < 0) {
            if (!filled && at - literal >= LOST) { /* most pages do without the table */
                fill_table(table, old);
                filled = table;
                at = literal;
            } else
                at++;
            continue;
        }
        int most = PAGE - (from > at ? from : at);
        int length = LEAST + matching(old + from + LEAST, new + at + LEAST, most - LEAST);
        while (at > literal && from > 0 && old[from - 1] == new[at - 1])
            at--, from--, length++;
        int moved = from - at;
        if (put_literals(out, new + literal, (size_t)(at - literal)) || put_number(out, (uint32_t)length) ||
            put_number(out, (uint32_t)(moved < 0 ? -2 * moved - 1 : 2 * moved)))
            return -1;
        shift = moved;
        at += length;
        literal = at;
    }
    return literal < PAGE ? put_literals(out, new + literal, (size_t)(PAGE - literal)) : 0;
}

/* ---- applying ---- */

struct input {
    const unsigned char *next, *end;
};

static int take_number(struct input *in, uint32_t *number)
{
    uint32_t value = 0;
    for (int shift = 0; shift < 21; shift += 7) { /* none is above 2 * PAGE */
        if (in->next == in->end)
            return -1;
        unsigned char byte = *in->next++;
        value |= (uint32_t)(byte & 127) << shift;
        if (byte < 128) {
            *number = value;
            return 0;
        }
    }
    return -1;
}

static int apply_page(struct input *in, unsigned char *page)
{
    unsigned char old[PAGE];
    memcpy(old, page, PAGE);
    for (uint32_t at = 0, length, moved; at < PAGE;) {
        if (take_number(in, &length) || length > PAGE - at || length > (size_t)(in->end - in->next))
            return -1;
        memcpy(page + at, in->next, length);
        in->next += length;
        at += length;
        if (at == PAGE)
            break;
        if (take_number(in, &length) || length > PAGE - at || take_number(in, &moved))
            return -1;
        int64_t from = (int64_t)at + (moved & 1 ? -(int64_t)(moved / 2) - 1 : (int64_t)(moved / 2));
        if (from < 0 || from + length > PAGE || !length)
            return -1;
        memcpy(page + at, old + from, length);
        at += length;
    }
    return 0;
}

static int apply_pages(struct input *in, unsigned char *cell, size_t pages)
{
    while (in->next < in->end) {
        size_t page = *in->next++;
        if (page >= pages || apply_page(in, cell + page * PAGE))
            return -1;
    }
    return 0;
}

/* ---- the module ---- */

static PyObject *make(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer old, new, pages, room;
    if (!PyArg_ParseTuple(args, "y*y*y*w*", &old, &new, &pages, &room))
        return NULL;
    PyObject *result = NULL;
    const unsigned char *numbers = pages.buf;
    struct output out = {room.buf, (unsigned char *)room.buf + room.len};
    int failed = old.len != new.len || old.len % PAGE || old.len / PAGE > MOST_PAGES;
    for (Py_ssize_t n = 0; n < pages.len && !failed; n++)
        failed = numbers[n] >= new.len / PAGE;
    if (failed)
        PyErr_SetString(PyExc_ValueError, "two cells of the same whole pages, and numbers of those, are needed");
    else {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t n = 0; n < pages.len && !failed; n++) {
            size_t at = (size_t)numbers[n] * PAGE;
            failed = out.next == out.end;
            if (!failed) {
                *out.next++ = numbers[n];
                failed = make_page(&out, (const unsigned char *)old.buf + at, (const unsigned char *)new.buf + at);
            }
        }
        Py_END_ALLOW_THREADS
        result = PyLong_FromSsize_t(failed ? -1 : out.next - (unsigned char *)room.buf);
    }
    PyBuffer_Release(&old);
    PyBuffer_Release(&new);
    PyBuffer_Release(&pages);
    PyBuffer_Release(&room);
    return result;
}

static PyObject *apply(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer cell, difference;
    if (!PyArg_ParseTuple(args, "w*y*", &cell, &difference))
        return NULL;
    struct input in = {difference.buf, (const unsigned char *)difference.buf + difference.len};
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = apply_pages(&in, cell.buf, (size_t)cell.len / PAGE);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&cell);
    PyBuffer_Release(&difference);
    if (failed) {
        PyErr_SetString(PyExc_ValueError, "it is no difference of these pages");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"make", make, METH_VARARGS, PyDoc_STR("Put the difference of some pages into a room; its length, -1: no room.")},
    {"apply", apply, METH_VARARGS, PyDoc_STR("Make the new pages of the old ones, in place.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siltstone.engine.postgres._differences",
    .m_doc = PyDoc_STR("Differences of pages; differences.py has the format."),
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__differences(void)
{
    return PyModule_Create(&module_def);
}
