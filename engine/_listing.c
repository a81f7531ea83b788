/* Listing directories with the stat of each entry: one at once, or ahead of a scan.
 *
 * Rule: files_plain.py says in Python what `scan_directory` and `stat_path` do, and the tests hold them to it. A Lister
 * gives what `scan_directory` gives, only earlier; what it does not give is there all the same. The system calls run
 * without the GIL, but for small directories.
 */
#include "_files.h"

#include <dirent.h>
#include <stdlib.h>

/* ---- scan_directory ---- */

/* Rows lie in blocks that never move: the stat, then the name and its NUL. */
struct block {
    struct block *next;
    size_t used, room;
    unsigned char rows[];
};

/* `key` is what orders the names best. */
struct place {
    uint64_t key;
    unsigned char *row;
};

typedef struct {
    PyObject_HEAD
    struct block *blocks;
    struct place *places;
    Py_ssize_t count, room;
} Listing;

static const char *name_of(const unsigned char *row)
{
    return (const char *)row + STAT_BYTES;
}

/* A row for this name, its stat not filled; NULL and errno when memory is out. */
static unsigned char *add_row(Listing *self, const char *name)
{
    size_t length = strlen(name) + 1, need = STAT_BYTES + length;
    struct block *block = self->blocks;
    if (block == NULL || block->room - block->used < need) {
        size_t room = block == NULL ? 4096 - sizeof *block : block->room < 1 << 20 ? block->room * 2 : block->room;
        room = room < need ? need : room;
        if ((block = malloc(sizeof *block + room)) == NULL)
            return NULL;
        *block = (struct block){self->blocks, 0, room};
        self->blocks = block;
    }
    if (self->count == self->room) {
        Py_ssize_t room = self->room ? self->room * 2 : 32;
        struct place *places = realloc(self->places, (size_t)room * sizeof *places);
        if (places == NULL)
            return NULL;
        self->places = places;
        self->room = room;
    }
    unsigned char *row = block->rows + block->used;
    memcpy(row + STAT_BYTES, name, length);
    block->used += need;
    self->places[self->count++] = (struct place){0, row};
    return row;
}

/* Adds an entry, but for one that vanished since it was listed. One that cannot be examined (someone else's FUSE mount,
 * a damaged inode) stays, all zero but the errno in the place of rdev: it exists, and somebody must hear of it. */
static int add_entry(Listing *self, int fd, const char *name)
{
    struct stat st;
    int error = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
    if (error == ENOENT)
        return 0;
    unsigned char *row = add_row(self, name);
    if (row == NULL)
        return -1;
    if (error == 0)
        pack_stat(row, &st);
    else {
        memset(row, 0, STAT_BYTES);
        put(row + RDEV_AT, (uint64_t)error, 8);
    }
    return 0;
}

/* In the order of the directory: sorting by inode first gained nothing, also not with cold caches on ext4. */
static int list_entries(Listing *self, DIR *directory, int fd)
{
    for (;;) {
        errno = 0;
        const struct dirent *found = readdir(directory);
        if (found == NULL)
            return errno ? -1 : 0;
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            if (add_entry(self, fd, found->d_name) < 0)
                return -1;
    }
}

static int by_name(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int order = (x->key > y->key) - (x->key < y->key);
    return order ? order : strcmp(name_of(x->row), name_of(y->row));
}

/* By the bytes of the names. Names in one directory tend to begin alike, so the key is the first eight bytes in which
 * they can differ; most comparisons then touch no name (a million: 0.09 instead of 0.45 s). */
static void sort_by_name(Listing *self)
{
    if (self->count == 0)
        return;
    const char *first = name_of(self->places[0].row);
    size_t same = strlen(first);
    for (Py_ssize_t i = 1; i < self->count; i++) {
        const char *name = name_of(self->places[i].row);
        size_t n = 0;
        while (n < same && name[n] == first[n])
            n++;
        same = n;
    }
    for (Py_ssize_t i = 0; i < self->count; i++) {
        const unsigned char *rest = (const unsigned char *)name_of(self->places[i].row) + same;
        uint64_t key = 0;
        for (int shift = 56; shift >= 0 && *rest != '\0'; shift -= 8)
            key |= (uint64_t)*rest++ << shift;
        self->places[i].key = key;
    }
    qsort(self->places, (size_t)self->count, sizeof *self->places, by_name);
    Py_ssize_t kept = 1; /* a file that was replaced meanwhile may have been listed twice */
    for (Py_ssize_t i = 1; i < self->count; i++)
        if (by_name(&self->places[i], &self->places[kept - 1]) != 0)
            self->places[kept++] = self->places[i];
    self->count = kept;
}

/* 0, or -1 and errno. Without the GIL. */
static int scan(Listing *self, const char *path, int at)
{
    int fd = path != NULL ? open_to_read(path, O_DIRECTORY) : openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        leave(fd);
        return -1;
    }
    int result = list_entries(self, directory, fd), error = errno;
    if (result == 0)
        sort_by_name(self);
    closedir(directory);
    errno = error;
    return result;
}

static Py_ssize_t listing_length(PyObject *object)
{
    return ((Listing *)object)->count;
}

static PyObject *listing_item(PyObject *object, Py_ssize_t index)
{
    const Listing *self = (Listing *)object;
    if (index < 0 || index >= self->count) {
        PyErr_SetString(PyExc_IndexError, "no such entry in the listing");
        return NULL;
    }
    const char *row = (const char *)self->places[index].row;
    PyObject *name = PyBytes_FromString(row + STAT_BYTES);
    PyObject *stat = PyBytes_FromStringAndSize(row, STAT_BYTES);
    PyObject *pair = name != NULL && stat != NULL ? PyTuple_Pack(2, name, stat) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(stat);
    return pair;
}

static void release_rows(Listing *self)
{
    for (struct block *block = self->blocks; block != NULL;) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
    free(self->places);
    self->blocks = NULL;
    self->places = NULL;
    self->count = self->room = 0;
}

static void listing_dealloc(PyObject *object)
{
    release_rows((Listing *)object);
    PyObject_Free(object);
}

static PySequenceMethods listing_as_sequence = {.sq_length = listing_length, .sq_item = listing_item};

static PyTypeObject listing_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "siltstone.engine._listing.Listing",
    .tp_doc = PyDoc_STR("The entries of one directory, sorted by name; (name, stat) is made when it is asked for."),
    .tp_basicsize = sizeof(Listing),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = listing_dealloc,
    .tp_as_sequence = &listing_as_sequence,
};

static Listing *new_listing(void)
{
    Listing *self = PyObject_New(Listing, &listing_type);
    if (self != NULL) {
        self->blocks = NULL;
        self->places = NULL;
        self->count = self->room = 0;
    }
    return self;
}

static PyObject *scan_directory(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    const char *path = NULL;
    PyObject *argument;
    int at = -1, small = 0;
    if (!PyArg_ParseTuple(arguments, "O|p:scan_directory", &argument, &small))
        return NULL;
    if (PyLong_Check(argument)) {
        if (take_descriptor(argument, &at) < 0)
            return NULL;
    } else if (take_bytes(argument, &path) < 0)
        return NULL;
    Listing *self = new_listing();
    if (self == NULL)
        return NULL;
    int result;
    if (small) /* some ten microseconds: to give the lock away and to win it back from busy threads takes three times that */
        result = scan(self, path, at);
    else {
        Py_BEGIN_ALLOW_THREADS
        result = scan(self, path, at);
        Py_END_ALLOW_THREADS
    }
    if (result < 0) {
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, argument);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* ---- stat_path ---- */

static int lstat_path(const char *path, struct stat *st)
{
    int base = reach(&path);
    if (base == -1)
        return -1;
    int result = fstatat(base, path, st, AT_SYMLINK_NOFOLLOW);
    leave(base);
    return result;
}

static PyObject *stat_path(PyObject *Py_UNUSED(module), PyObject *argument)
{
    const char *path;
    if (take_bytes(argument, &path) < 0)
        return NULL;
    struct stat st;
    int result;
    Py_BEGIN_ALLOW_THREADS
    result = lstat_path(path, &st);
    Py_END_ALLOW_THREADS
    if (result < 0)
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, argument);
    unsigned char packed[STAT_BYTES];
    pack_stat(packed, &st);
    return PyBytes_FromStringAndSize((char *)packed, STAT_BYTES);
}

/* ---- Lister ---- */

/* LARGEST: bytes of a directory that is listed ahead. Its listing, and those before it, wait for the scan in memory: at
 * most some hundred thousand entries, whatever a file system counts as the size. */
enum { DIRECTORIES = 256, LARGEST = 256 << 10 };

/* A directory that is to be listed, after those above it in the stack. */
struct waiting {
    struct waiting *below;
    char path[];
};

typedef struct {
    PyObject_HEAD
    struct waiting *stack;
    uint64_t device;
} Lister;

static int push(struct waiting **stack, const char *prefix, size_t length, const char *name)
{
    struct waiting *each = malloc(sizeof *each + length + strlen(name) + 1);
    if (each == NULL)
        return -1;
    memcpy(each->path, prefix, length);
    strcpy(each->path + length, name);
    each->below = *stack;
    *stack = each;
    return 0;
}

static struct waiting *pop(struct waiting **stack)
{
    struct waiting *each = *stack;
    *stack = each->below;
    return each;
}

/* The directories of a listing come next, in order. Those on another device, the large ones, and what memory is not
 * there for, are left to the scan. */
static void push_directories(struct waiting **stack, const Listing *listing, const char *path, uint64_t device)
{
    size_t length = strlen(path);
    char *prefix = malloc(length + 2);
    if (prefix == NULL)
        return;
    memcpy(prefix, path, length);
    if (length == 0 || path[length - 1] != '/')
        prefix[length++] = '/';
    for (Py_ssize_t i = listing->count - 1; i >= 0; i--) {
        const unsigned char *row = listing->places[i].row;
        if (S_ISDIR(take(row, 4)) && take(row + DEV_AT, 8) == device && take(row + SIZE_AT, 8) <= LARGEST)
            if (push(stack, prefix, length, name_of(row)) < 0)
                break;
    }
    free(prefix);
}

/* Lists what is next, as far as there are listings for it and they have fewer than so many entries; how many, and the
 * paths. A directory that cannot be listed is left out. Without the GIL. */
static Py_ssize_t list_next(struct waiting **stack, uint64_t device, Py_ssize_t entries, Listing **listings,
                            struct waiting **listed)
{
    Py_ssize_t count = 0;
    while (*stack != NULL && count < DIRECTORIES && entries > 0) {
        struct waiting *each = pop(stack);
        Listing *listing = listings[count];
        if (scan(listing, each->path, -1) < 0) {
            release_rows(listing);
            free(each);
            continue;
        }
        push_directories(stack, listing, each->path, device);
        entries -= listing->count + 1;
        listed[count++] = each;
    }
    return count;
}

/* A list of (path, listing). */
static PyObject *listed_pairs(Listing *const *listings, struct waiting *const *listed, Py_ssize_t count)
{
    PyObject *pairs = PyList_New(count);
    for (Py_ssize_t i = 0; pairs != NULL && i < count; i++) {
        PyObject *pair = Py_BuildValue("yO", listed[i]->path, (PyObject *)listings[i]);
        if (pair == NULL)
            Py_CLEAR(pairs);
        else
            PyList_SET_ITEM(pairs, i, pair);
    }
    return pairs;
}

static PyObject *lister_more(PyObject *object, PyObject *argument)
{
    Lister *self = (Lister *)object;
    Py_ssize_t entries = PyLong_AsSsize_t(argument), made = 0, count = 0;
    if (entries == -1 && PyErr_Occurred())
        return NULL;
    Listing *listings[DIRECTORIES];
    struct waiting *listed[DIRECTORIES], *stack = self->stack;
    PyObject *pairs = NULL;
    while (made < DIRECTORIES && (listings[made] = new_listing()) != NULL)
        made++;
    if (made == DIRECTORIES) {
        self->stack = NULL; /* another thread that asks meanwhile finds nothing */
        Py_BEGIN_ALLOW_THREADS
        count = list_next(&stack, self->device, entries, listings, listed);
        Py_END_ALLOW_THREADS
        self->stack = stack;
        pairs = listed_pairs(listings, listed, count);
    }
    while (count > 0)
        free(listed[--count]);
    while (made > 0)
        Py_DECREF(listings[--made]);
    return pairs;
}

/* Leaves out what is below a directory, if that is where it has come to: what the scan does not enter. */
static PyObject *lister_skip(PyObject *object, PyObject *argument)
{
    Lister *self = (Lister *)object;
    const char *path;
    if (take_bytes(argument, &path) < 0)
        return NULL;
    size_t length = strlen(path);
    if (length > 0 && path[length - 1] == '/')
        length--;
    while (self->stack != NULL && strncmp(self->stack->path, path, length) == 0) {
        char next = self->stack->path[length];
        if (next != '\0' && next != '/')
            break;
        free(pop(&self->stack));
    }
    Py_RETURN_NONE;
}

static PyObject *lister_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *argument;
    const char *path;
    unsigned long long device;
    if (keywords != NULL && PyDict_GET_SIZE(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "Lister takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "OK:Lister", &argument, &device) || take_bytes(argument, &path) < 0)
        return NULL;
    Lister *self = (Lister *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->device = device;
    if (push(&self->stack, path, strlen(path), "") < 0) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void lister_dealloc(PyObject *object)
{
    Lister *self = (Lister *)object;
    while (self->stack != NULL)
        free(pop(&self->stack));
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef lister_methods[] = {
    {"more", lister_more, METH_O, PyDoc_STR("The next directories and their listings.")},
    {"skip", lister_skip, METH_O, PyDoc_STR("Leave out a directory that is next, and what is below it.")},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject lister_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "siltstone.engine._listing.Lister",
    .tp_doc = PyDoc_STR("Lists a directory and all below it, in the order in which a scan enters them."),
    .tp_basicsize = sizeof(Lister),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = lister_new,
    .tp_dealloc = lister_dealloc,
    .tp_methods = lister_methods,
};

static PyMethodDef functions[] = {
    {"scan_directory", scan_directory, METH_VARARGS, PyDoc_STR("The entries of a directory and their stats.")},
    {"stat_path", stat_path, METH_O, PyDoc_STR("The stat of a path.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siltstone.engine._listing",
    .m_doc = PyDoc_STR("Listing directories; files_plain.py is the same in Python, but for listing ahead."),
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__listing(void)
{
    if (PyType_Ready(&listing_type) < 0 || PyType_Ready(&lister_type) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&module_def);
    if (module != NULL && PyModule_AddObjectRef(module, "Lister", (PyObject *)&lister_type) < 0)
        Py_CLEAR(module);
    return module;
}
