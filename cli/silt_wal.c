/* silt-wal: `silt wal push` and `silt wal fetch` where an earlier call left nothing to do, without a Python.

   It is the twin of wal_quick.py, in C since PostgreSQL calls one of them for every segment: starting Python takes 20 ms
   of CPU and more. What it cannot settle by looking at a few files it hands on to `silt wal`, which lies
   beside it, and which takes its place in the process: exit code and words are those of `silt`.

   Rule: it says 0, and that a file is not archived, only where wal_quick.py would, and never anything else by itself but
   CANNOT_START. It opens no store and changes nothing but the place of one file of the spool.

   tests/cli/test_wal_quick.py holds both to the same cases. */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* as in wal_quick.py */
enum { NOT_ARCHIVED = 44, CANNOT_START = 201, LEAST_AHEAD = 4, LONGEST_WAIT = 20, LONGEST_LAYING = 10 };
enum { SEGMENT = 24, HISTORY = 16, NOTED_NS = 2000000000 };
enum { POLL_NS = 1000000, ROOM = 3 * PATH_MAX };
/* IN_VAIN: somebody is at work on it, and was waited for long enough. BEYOND: the archive ends before it */
enum { NO, YES, IN_VAIN, BEYOND };

static const char *store, *asked_system, *words[3];
static int count; /* of words, behind `push` or `fetch`; 4 where something else was asked */

static void ask(int argc, char **argv) {
    for (int at = 2; at < argc; at++) {
        const char *word = argv[at];
        if (!strcmp(word, "--store") && at + 1 < argc)
            store = argv[++at];
        else if (!strncmp(word, "--store=", 8))
            store = word + 8;
        else if (!strcmp(word, "--system") && at + 1 < argc)
            asked_system = argv[++at];
        else if (!strcmp(word, "--key-file") && at + 1 < argc)
            at++;
        else if (word[0] == '-' && strcmp(word, "-q") && strcmp(word, "--quiet") && strncmp(word, "--key-file=", 11))
            count = 4;
        else if (word[0] != '-' && count < 3)
            words[count++] = word;
    }
    if (!store || !*store)
        store = getenv("SILT_STORE");
}

/* Becomes `silt wal` with the same words, and one more if `last` is given. */
static void hand_on(int argc, char **argv, const char *last) {
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 8);
    char **given = calloc(argc + 3, sizeof *given);
    if (length > 0 && given) {
        path[length] = 0;
        strcpy(strrchr(path, '/') + 1, "silt");
        given[0] = path;
        given[1] = "wal";
        memcpy(given + 2, argv + 1, (argc - 1) * sizeof *given);
        given[argc + 1] = (char *)last;
        execv(path, given);
        fprintf(stderr, "silt-wal: %s: %s\n", path, strerror(errno));
    }
    _exit(CANNOT_START);
}

/* The last or the first bytes of a file, and how many there are. */
static ssize_t read_some(const char *path, int from_end, unsigned char *bytes, size_t size) {
    struct stat now;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t got = -1;
    if (!fstat(file, &now))
        got = pread(file, bytes, size, from_end && now.st_size > (off_t)size ? now.st_size - (off_t)size : 0);
    close(file);
    return got;
}

/* See place_of: `<end of the store's config>-<system identifier>`. False where one of the two is not there. */
static int find_place(const char *data, char *place, char *system_identifier) {
    char path[ROOM];
    unsigned char config[16];
    uint64_t number;
    snprintf(path, sizeof path, "%s/config", store);
    ssize_t length = read_some(path, 1, config, sizeof config);
    snprintf(path, sizeof path, "%s/global/pg_control", data);
    if (length < 0 || read_some(path, 0, (unsigned char *)&number, sizeof number) != sizeof number)
        return 0;
    for (ssize_t at = 0; at < length; at++)
        sprintf(place + 2 * at, "%02x", config[at]);
    sprintf(system_identifier, "%" PRIu64, number);
    sprintf(place + 2 * length, "-%s", system_identifier);
    return !asked_system || !strcmp(asked_system, system_identifier);
}

static int find_state(char *folder) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state)
        return snprintf(folder, PATH_MAX, "%s/silt/wal", state) < PATH_MAX;
    return home && *home && snprintf(folder, PATH_MAX, "%s/.local/state/silt/wal", home) < PATH_MAX;
}

/* A descriptor that holds a lock; -1 if it is not there or, with errno EWOULDBLOCK, somebody else holds it. */
static int hold(const char *path, int how, int flags) {
    int lock = open(path, flags | O_CLOEXEC, 0600);
    if (lock >= 0 && flock(lock, how | LOCK_NB)) {
        int because = errno;
        close(lock);
        errno = because;
        return -1;
    }
    return lock;
}

static int is_held(const char *path) {
    int lock = hold(path, LOCK_SH, O_RDONLY);
    if (lock >= 0)
        close(lock);
    return lock < 0 && errno == EWOULDBLOCK;
}

static void rest(void) { nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL); }

/* Seconds of a clock that nobody sets: one that goes back would have us wait for as long. */
static time_t seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* ---- push */

static int64_t ns(struct timespec time) { return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec; }

/* See is_archived: whether a note says so, and the file and its object are what they were. */
static int is_archived(const char *path, const char *name, const char *notes, const char *object) {
    struct stat now, kept;
    char line[ROOM];
    if (stat(path, &now) || stat(object, &kept))
        return 0;
    snprintf(line, sizeof line, "\n%s %ju %jd %jd %jd %ju %jd %jd\n", name, (uintmax_t)now.st_ino,
             (intmax_t)ns(now.st_mtim), (intmax_t)ns(now.st_ctim), (intmax_t)now.st_size, (uintmax_t)kept.st_ino,
             (intmax_t)ns(kept.st_mtim), (intmax_t)kept.st_size);
    int file = open(notes, O_RDONLY | O_CLOEXEC), found = 0;
    if (file < 0)
        return 0;
    struct stat size;
    char *text = fstat(file, &size) ? NULL : malloc(size.st_size + 1);
    if (text) {
        ssize_t got = read(file, text, size.st_size);
        found = got > 0 && memmem(text, got, line, strlen(line)) != NULL;
    }
    free(text);
    close(file);
    return found;
}

/* The data directory of `pg_wal/NAME` or `.../pg_wal/NAME`; other paths are for wal_quick.py. */
static int find_data(const char *path, char *data) {
    const char *slash = strrchr(path, '/');
    size_t before = slash ? (size_t)(slash - path) : 0;
    if (before < 6 || before >= PATH_MAX || strncmp(slash - 6, "pg_wal", 6) || strstr(path, ".."))
        return 0;
    if (before > 6 && slash[-7] != '/')
        return 0;
    snprintf(data, PATH_MAX, "%.*s", before > 7 ? (int)before - 7 : 1, before > 7 ? path : ".");
    return before != 7;
}

/* See becomes_archived. */
static int push(void) {
    char data[PATH_MAX], place[64], number[24], state[PATH_MAX], notes[ROOM], lock[ROOM], object[ROOM];
    const char *path = words[0];
    if (count != 1 || !store || !find_data(path, data) || !find_place(data, place, number) || !find_state(state))
        return NO;
    const char *name = strrchr(path, '/') + 1;
    snprintf(notes, sizeof notes, "%s/%s.archived", state, place);
    snprintf(lock, sizeof lock, "%s/%s.ahead", state, place);
    snprintf(object, sizeof object, "%s/wal/%s/%.8s/%s", store, number, name, name);
    time_t end = seconds() + LONGEST_WAIT;
    for (;; rest()) {
        int busy = is_held(lock); /* first: a note that came after the look at the notes is looked at once more */
        if (is_archived(path, name, notes, object))
            return YES;
        if (!busy || seconds() > end)
            return busy ? IN_VAIN : NO;
    }
}

/* ---- fetch */

/* A copy on another file system, under its name when it is whole. */
static int copy(const char *source, const char *target) {
    char temporary[ROOM];
    struct stat size;
    int from = open(source, O_RDONLY | O_CLOEXEC), done = 0;
    snprintf(temporary, sizeof temporary, "%s.silt", target);
    int to = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (from >= 0 && to >= 0 && !fstat(from, &size)) {
        off_t left = size.st_size;
        ssize_t sent = 1;
        while (left > 0 && (sent = sendfile(to, from, NULL, left)) > 0)
            left -= sent;
        done = left == 0;
    }
    done = (to < 0 || !close(to)) && done;
    if (from >= 0)
        close(from);
    return done && !rename(temporary, target) && (unlink(source), 1);
}

static int move(const char *source, const char *target) {
    return !access(source, F_OK) && (!rename(source, target) || (errno == EXDEV && copy(source, target)));
}

/* Whether few files are left behind this one. */
static int running_low(const char *spool, const char *name) {
    int left = 0;
    DIR *folder = opendir(spool);
    if (!folder)
        return 0;
    for (struct dirent *each; (each = readdir(folder));)
        left += !strncmp(each->d_name, name, 8) && strcmp(each->d_name, name) > 0;
    closedir(folder);
    return left < LEAST_AHEAD;
}

/* See is_beyond: whether a note that still counts says that the archive ends before the file. */
static int is_beyond(const char *spool) {
    char path[ROOM], note[4096], *rest = note;
    struct timespec now;
    struct stat status;
    int named = 0, folders = 0;
    snprintf(path, sizeof path, "%s/.beyond", spool);
    ssize_t length = read_some(path, 0, (unsigned char *)note, sizeof note);
    if (length < 1 || length == sizeof note || clock_gettime(CLOCK_BOOTTIME, &now))
        return 0;
    note[length] = 0;
    int64_t left = strtoll(strsep(&rest, "\n"), NULL, 10) - ns(now);
    for (const char *line; (line = strsep(&rest, "\n"));) {
        const char *folder = strchr(line, ' ');
        named = named || (rest && !strcmp(line, words[0])); /* the last line has an end */
        folders += folder != NULL;
        if (folder && snprintf(path, sizeof path, "%s/%s", store, folder + 1) >= (int)sizeof path)
            return 0;
        if (folder && (stat(path, &status) || ns(status.st_mtim) != strtoll(line, NULL, 10)))
            return 0;
    }
    return named && folders && left > 0 && left <= NOTED_NS;
}

/* See from_spool: whether the file came; somebody who fills the spool is waited for. */
static int take(const char *spool, const char *lock) {
    char source[ROOM], idle[ROOM];
    snprintf(source, sizeof source, "%s/%s", spool, words[0]);
    snprintf(idle, sizeof idle, "%s/.idle", spool);
    time_t end = seconds() + LONGEST_LAYING;
    for (;; rest()) {
        int busy = strlen(words[0]) == SEGMENT && is_held(lock) && access(idle, F_OK);
        int late = seconds() > end;
        if (move(source, words[1]))
            return YES;
        if (is_beyond(spool))
            return BEYOND;
        if (!busy || late)
            return busy ? IN_VAIN : NO;
    }
}

static int fetch(int argc, char **argv) {
    char place[64], number[24], state[PATH_MAX], spool[ROOM], lock[ROOM];
    unsigned char boot[64];
    size_t name = count == 2 ? strlen(words[0]) : 0;
    if ((name != SEGMENT && name != HISTORY) || strchr(words[0], '/') || !store || !find_place(".", place, number))
        return NO;
    ssize_t length = read_some("/proc/sys/kernel/random/boot_id", 0, boot, sizeof boot);
    if (length < 1 || !find_state(state))
        return NO;
    length -= boot[length - 1] == '\n';
    snprintf(spool, sizeof spool, "%s/%s-%.*s", state, place, (int)length, boot);
    snprintf(lock, sizeof lock, "%s/.lock", spool);
    int taken = take(spool, lock);
    if (taken != YES)
        return taken;
    int held = running_low(spool, words[0]) ? hold(lock, LOCK_EX, O_RDWR | O_CREAT) : -1;
    if (held >= 0 && fork() == 0) {
        int null = open("/dev/null", O_RDWR);
        setsid();
        for (int each = 0; each < 3; each++)
            dup2(null, each);
        fcntl(held, F_SETFD, 0); /* the lock goes on with the process that fills the spool */
        hand_on(argc, argv, "--only-ahead");
    }
    return YES;
}

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "";
    ask(argc, argv);
    int found = !strcmp(verb, "fetch") ? fetch(argc, argv) : !strcmp(verb, "push") ? push() : NO;
    if (found == YES)
        return 0;
    if (found == BEYOND) {
        fprintf(stderr, "silt: %s: the archive ends before it\n", words[0]);
        return NOT_ARCHIVED;
    }
    hand_on(argc, argv, found == IN_VAIN ? "--waited" : NULL);
}
