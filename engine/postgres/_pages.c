/* Judging and digesting many 8 KiB pages at once, without the interpreter lock.
 *
 * Rule: pages_plain.py says in numpy what this file does in C, and the tests hold the one to the other. Lengths are
 * checked first, with the lock; then the arithmetic runs without it, on buffers that are held until it ends.
 *
 * Little-endian hosts only; elsewhere it does not compile, and the twin is used.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "little-endian only"
#endif

/* One source, compiled for what the processor has: 9 GB/s plain, 12 with AVX2, 21 with AVX-512 (checksums). */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#else
#define VECTORISED
#endif
/* What such a function calls has to be part of it, or it is compiled once, and plain. */
#define ALWAYS_INLINE __attribute__((always_inline))

/* STEP pages of a file are read at a time: they stay in the cache of a core until they are digested. */
enum { STEP = 16, PAGE = 8192, LANES = 32, ROWS = PAGE / 4 / LANES, HALF = PAGE / 8, KEY_WORDS = 2 * PAGE / 4, FOLDS = 10 };

/* ---- PostgreSQL's checksum: src/include/storage/checksum_impl.h ---- */

static const uint32_t SEEDS[LANES] = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
};

ALWAYS_INLINE static inline uint16_t checksum(const unsigned char *page, uint32_t block)
{
    uint32_t sums[LANES], row[LANES], result = block;
    memcpy(sums, SEEDS, sizeof sums);
    for (int i = 0; i < ROWS + 2; i++) {
        if (i < ROWS)
            memcpy(row, page + i * sizeof row, sizeof row);
        else
            memset(row, 0, sizeof row);
        if (i == 0)
            row[2] &= 0xFFFF0000u; /* the checksum itself counts as zero */
        for (int lane = 0; lane < LANES; lane++) {
            uint32_t mixed = sums[lane] ^ row[lane];
            sums[lane] = mixed * 16777619u ^ mixed >> 17;
        }
    }
    for (int lane = 0; lane < LANES; lane++)
        result ^= sums[lane];
    return (uint16_t)(result % 65535 + 1);
}

/* ---- what a page is: see judge() in pages.py ---- */

enum { SOUND, BAD, RENEWED, NEW };

struct head {
    uint32_t lsn_high, lsn_low;
    uint16_t checksum, flags, lower, upper, special, size_version;
    uint32_t prune_xid;
};

ALWAYS_INLINE static inline int is_sensible(const struct head *head)
{
    return !(head->flags & ~7) && head->lower >= sizeof *head && head->lower <= head->upper &&
           head->upper <= head->special && head->special <= PAGE && !(head->special & 7);
}

VECTORISED static void judge_pages(const unsigned char *page, size_t count, uint32_t block, uint64_t start,
                                   int checksummed, unsigned char *out)
{
    for (size_t n = 0; n < count; n++, page += PAGE, block++) {
        struct head head;
        memcpy(&head, page, sizeof head);
        if (!head.upper && !page[0] && !memcmp(page, page + 1, PAGE - 1))
            out[n] = NEW;
        else if (head.upper && is_sensible(&head) && (!checksummed || checksum(page, block) == head.checksum))
            out[n] = SOUND;
        else
            out[n] = ((uint64_t)head.lsn_high << 32 | head.lsn_low) < start ? BAD : RENEWED;
    }
}

/* ---- digests: see pages_plain.py ---- */

ALWAYS_INLINE static inline uint64_t inner(const uint32_t *words, const uint32_t *key)
{
    uint64_t sum = 0;
    for (int i = 0; i < HALF; i++)
        sum += (uint64_t)(uint32_t)(words[i] + key[i]) * (uint32_t)(words[i + HALF] + key[i + HALF]);
    return sum;
}

ALWAYS_INLINE static inline uint32_t fold(const uint32_t *limbs, const uint64_t *key)
{
    return (uint32_t)((key[0] + key[1] * limbs[0] + key[2] * limbs[1] + key[3] * limbs[2] + key[4] * limbs[3]) >> 32);
}

VECTORISED static void digest_pages(const unsigned char *page, size_t count, const uint32_t *key, uint64_t *out)
{
    const uint32_t *second = key + KEY_WORDS / 2;
    uint64_t folds[FOLDS];
    memcpy(folds, key + KEY_WORDS, sizeof folds);
    for (size_t n = 0; n < count; n++, page += PAGE) {
        uint32_t words[PAGE / 4], limbs[4];
        memcpy(words, page, PAGE); /* it may lie anywhere */
        uint64_t sums[2] = {inner(words, key), inner(words, second)};
        memcpy(limbs, sums, sizeof limbs);
        out[n] = (uint64_t)fold(limbs, folds) << 32 | fold(limbs, folds + FOLDS / 2);
    }
}

/* The whole pages that were read from `offset` on, `count` at most, or -1 with errno. */
static Py_ssize_t digest_file(int file, off_t offset, size_t count, const uint32_t *key, uint64_t *out)
{
    unsigned char pages[STEP * PAGE];
    size_t done = 0, held = 0;
    while (done < count) {
        size_t wanted = (count - done < STEP ? count - done : STEP) * PAGE;
        ssize_t got = pread(file, pages + held, wanted - held, offset + (off_t)(done * PAGE + held));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        held += (size_t)got;
        if (got && held < wanted)
            continue;
        digest_pages(pages, held / PAGE, key, out + done);
        done += held / PAGE;
        held = 0;
        if (!got)
            break;
    }
    return (Py_ssize_t)done;
}

/* ---- the module ---- */

static int refuse_lengths(const Py_buffer *pages, const Py_buffer *out, size_t item)
{
    if (pages->len % PAGE == 0 && (size_t)out->len == (size_t)pages->len / PAGE * item && (uintptr_t)out->buf % item == 0)
        return 0;
    PyErr_SetString(PyExc_ValueError, "whole pages, and room for one result a page, are needed");
    return -1;
}

static PyObject *judge(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer pages, out;
    unsigned long block;
    unsigned long long start;
    int checksummed;
    if (!PyArg_ParseTuple(args, "y*kKpw*", &pages, &block, &start, &checksummed, &out))
        return NULL;
    int refused = refuse_lengths(&pages, &out, 1);
    if (!refused) {
        Py_BEGIN_ALLOW_THREADS
        judge_pages(pages.buf, (size_t)pages.len / PAGE, (uint32_t)block, start, checksummed, out.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&pages);
    PyBuffer_Release(&out);
    return refused ? NULL : Py_NewRef(Py_None);
}

static int refuse_key(const Py_buffer *key)
{
    if ((size_t)key->len == KEY_WORDS * 4 + FOLDS * 8 && !((uintptr_t)key->buf % 4))
        return 0;
    PyErr_SetString(PyExc_ValueError, "the key has another length");
    return -1;
}

static PyObject *digests(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer pages, key, out;
    if (!PyArg_ParseTuple(args, "y*y*w*", &pages, &key, &out))
        return NULL;
    int refused = refuse_lengths(&pages, &out, sizeof(uint64_t)) || refuse_key(&key);
    if (!refused) {
        Py_BEGIN_ALLOW_THREADS
        digest_pages(pages.buf, (size_t)pages.len / PAGE, key.buf, out.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&pages);
    PyBuffer_Release(&key);
    PyBuffer_Release(&out);
    return refused ? NULL : Py_NewRef(Py_None);
}

static PyObject *file_digests(PyObject *self, PyObject *args)
{
    (void)self;
    int file;
    long long offset;
    Py_buffer key, out;
    if (!PyArg_ParseTuple(args, "iLy*w*", &file, &offset, &key, &out))
        return NULL;
    Py_ssize_t done = -1;
    if (out.len % (Py_ssize_t)sizeof(uint64_t) || (uintptr_t)out.buf % sizeof(uint64_t))
        PyErr_SetString(PyExc_ValueError, "room for whole digests is needed");
    else if (!refuse_key(&key)) {
        Py_BEGIN_ALLOW_THREADS
        done = digest_file(file, (off_t)offset, (size_t)out.len / sizeof(uint64_t), key.buf, out.buf);
        Py_END_ALLOW_THREADS
        if (done < 0)
            PyErr_SetFromErrno(PyExc_OSError);
    }
    PyBuffer_Release(&key);
    PyBuffer_Release(&out);
    return done < 0 ? NULL : PyLong_FromSsize_t(done);
}

static PyMethodDef functions[] = {
    {"judge", judge, METH_VARARGS, PyDoc_STR("Whether each page is sound, bad, renewed or new.")},
    {"digests", digests, METH_VARARGS, PyDoc_STR("A keyed digest of each page.")},
    {"file_digests", file_digests, METH_VARARGS, PyDoc_STR("The same of a file's pages from an offset on; how many.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siltstone.engine.postgres._pages",
    .m_doc = PyDoc_STR("Many pages at once; pages_plain.py is the same in numpy."),
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__pages(void)
{
    return PyModule_Create(&module_def);
}
