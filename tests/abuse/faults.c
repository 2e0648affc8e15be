/* Faults in the file system, for tests: a library to be preloaded (LD_PRELOAD) that counts what a process does to files
 * below some folders, writes each call into a trace, and at one of them kills the process, stops it, or has calls fail.
 *
 * Set by the environment when a process starts (FAULTS="key=value;..."), or later with faults_set("key=value;...").
 *
 *   under=DIR:DIR   folders (or files) to watch          trace=FILE   append "number operation path" for each call
 *   ops=a,b,c       operations that count (default: all that change something)
 *   at=N            the call that it happens at, from 1   mode=kill-before|kill-after|torn|stop|fail|fail-once|short
 *   errno=N         the error of fail, fail-once, and of what follows a short write
 *
 * "torn" writes half of a buffer and kills; "short" writes half of it, and everything after that fails; "stop" sends
 * SIGSTOP before the call, so that whoever waits for the process can do something in the middle of it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { OFF, KILL_BEFORE, KILL_AFTER, TORN, STOP, FAIL, FAIL_ONCE, SHORT };

static struct {
    int armed;
    enum mode mode;
    long at;
    int error;
    int trace;
    char under[16][PATH_MAX];
    int unders;
    char ops[512];
} faults = {.trace = -1};
static long count;
static int failing;

#define WRITING ",open,write,fsync,rename,unlink,rmdir,mkdir,truncate,link,symlink,close,"

static void set_one(const char *key, const char *value) {
    if (!strcmp(key, "under")) {
        char copy[4 * PATH_MAX], *place = copy, *one;
        snprintf(copy, sizeof copy, "%s", value);
        for (faults.unders = 0; faults.unders < 16 && (one = strsep(&place, ":")); faults.unders++)
            snprintf(faults.under[faults.unders], PATH_MAX, "%s", one);
    } else if (!strcmp(key, "trace")) {
        faults.trace = (int)syscall(SYS_openat, AT_FDCWD, value, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    } else if (!strcmp(key, "ops")) {
        snprintf(faults.ops, sizeof faults.ops, ",%s,", value);
    } else if (!strcmp(key, "at")) {
        faults.at = atol(value);
    } else if (!strcmp(key, "errno")) {
        faults.error = atoi(value);
    } else if (!strcmp(key, "mode")) {
        static const char *names[] = {"off", "kill-before", "kill-after", "torn", "stop", "fail", "fail-once", "short"};
        for (int i = 0; i < 8; i++)
            if (!strcmp(value, names[i])) faults.mode = (enum mode)i;
    }
}

/* An empty text switches everything off. */
void faults_set(const char *settings) {
    char copy[8 * PATH_MAX], *place = copy, *one;
    snprintf(copy, sizeof copy, "%s", settings);
    faults.armed = 0;
    faults.mode = OFF;
    faults.at = 0;
    faults.error = EIO;
    faults.unders = 0;
    if (faults.trace >= 0) syscall(SYS_close, faults.trace);
    faults.trace = -1;
    count = failing = 0;
    snprintf(faults.ops, sizeof faults.ops, "%s", WRITING);
    while ((one = strsep(&place, ";"))) {
        char *value = strchr(one, '=');
        if (value) *value++ = 0, set_one(one, value);
    }
    faults.armed = faults.unders > 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *settings = getenv("FAULTS");
    if (settings) faults_set(settings);
}

static int absolute(char *out, int folder, const char *path) {
    char base[PATH_MAX], link[64];
    if (path[0] == '/') return snprintf(out, PATH_MAX, "%s", path) > 0;
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
    }
    snprintf(out, PATH_MAX, "%.2000s/%.2000s", base, path);
    return 1;
}

static int of_descriptor(char *out, int descriptor) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
    if (length <= 0) return 0;
    out[length] = 0;
    return 1;
}

static int watched(const char *path) {
    for (int i = 0; i < faults.unders; i++) {
        size_t length = strlen(faults.under[i]);
        if (!strncmp(path, faults.under[i], length) && (!path[length] || path[length] == '/' || path[length] == ' '))
            return 1;
    }
    return 0;
}

static int counts(const char *op) {
    char name[40];
    snprintf(name, sizeof name, ",%s,", op);
    return strstr(faults.ops, name) != NULL;
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* What a call has to do: nothing special, fail at once, or die after it (-1), or be cut in half (-2). */
static int consider(const char *op, const char *path) {
    if (!faults.armed || !watched(path) || !counts(op)) return 0;
    long number = __sync_add_and_fetch(&count, 1);
    if (faults.trace >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld %s %s\n", number, op, path);
        syscall(SYS_write, faults.trace, line, length);
    }
    if (failing) return faults.error;
    if (number != faults.at) return 0;
    switch (faults.mode) {
    case KILL_BEFORE: die(); return 0;
    case KILL_AFTER: return -1;
    case TORN: return -2;
    case STOP: syscall(SYS_kill, getpid(), SIGSTOP); return 0;
    case FAIL: failing = 1; return faults.error;
    case FAIL_ONCE: return faults.error;
    case SHORT: failing = 1; return strcmp(op, "write") ? faults.error : -2;
    default: return 0;
    }
}

#define REAL(name) ((__typeof__(&name))next((void **)&real_##name, #name))
static void *next(void **kept, const char *name) {
    if (!*kept) *kept = dlsym(RTLD_NEXT, name);
    return *kept;
}

#define CALL_PATH(op, folder, path, call)                                      \
    do {                                                                       \
        char whole[PATH_MAX];                                                  \
        int what = 0;                                                          \
        if (faults.armed && absolute(whole, folder, path)) what = consider(op, whole); \
        if (what > 0) return errno = what, -1;                                 \
        __typeof__(call) answer = (call);                                      \
        if (what < 0) die();                                                   \
        return answer;                                                         \
    } while (0)

#define CALL_DESCRIPTOR(op, descriptor, call)                                  \
    do {                                                                       \
        char whole[PATH_MAX];                                                  \
        int what = 0;                                                          \
        if (faults.armed && of_descriptor(whole, descriptor)) what = consider(op, whole); \
        if (what > 0) return errno = what, -1;                                 \
        __typeof__(call) answer = (call);                                      \
        if (what < 0) die();                                                   \
        return answer;                                                         \
    } while (0)

/* ---- open: "open" where it may write, "read-open" else; "opened" names what a link has led to ---- */

static int opened(int descriptor) {
    char whole[PATH_MAX];
    if (descriptor >= 0 && faults.armed && counts("opened") && of_descriptor(whole, descriptor)) {
        int saved = errno;
        consider("opened", whole);
        errno = saved;
    }
    return descriptor;
}

#define OPEN_OP(flags) (((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) ? "open" : "read-open")
#define MODE_OF(flags)                                                         \
    mode_t mode = 0;                                                           \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                   \
        va_list rest;                                                          \
        va_start(rest, flags);                                                 \
        mode = va_arg(rest, mode_t);                                           \
        va_end(rest);                                                          \
    }

static void *real_open, *real_open64, *real_openat, *real_openat64, *real_creat, *real_fopen, *real_fopen64;

int open(const char *path, int flags, ...) {
    MODE_OF(flags);
    CALL_PATH(OPEN_OP(flags), AT_FDCWD, path, opened(REAL(open)(path, flags, mode)));
}
int open64(const char *path, int flags, ...) {
    MODE_OF(flags);
    CALL_PATH(OPEN_OP(flags), AT_FDCWD, path, opened(REAL(open64)(path, flags, mode)));
}
int openat(int folder, const char *path, int flags, ...) {
    MODE_OF(flags);
    CALL_PATH(OPEN_OP(flags), folder, path, opened(REAL(openat)(folder, path, flags, mode)));
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE_OF(flags);
    CALL_PATH(OPEN_OP(flags), folder, path, opened(REAL(openat64)(folder, path, flags, mode)));
}
int creat(const char *path, mode_t mode) {
    CALL_PATH("open", AT_FDCWD, path, opened(REAL(creat)(path, mode)));
}
int __open_2(const char *path, int flags) { return open(path, flags); }
int __open64_2(const char *path, int flags) { return open64(path, flags); }
int __openat_2(int folder, const char *path, int flags) { return openat(folder, path, flags); }
int __openat64_2(int folder, const char *path, int flags) { return openat64(folder, path, flags); }

static FILE *stream(void **kept, const char *name, const char *path, const char *mode) {
    char whole[PATH_MAX];
    int what = 0;
    if (faults.armed && absolute(whole, AT_FDCWD, path)) what = consider(strpbrk(mode, "wa+") ? "open" : "read-open", whole);
    if (what > 0) return errno = what, NULL;
    FILE *answer = ((FILE * (*)(const char *, const char *)) next(kept, name))(path, mode);
    if (what < 0) die();
    if (answer) opened(fileno(answer));
    return answer;
}
FILE *fopen(const char *path, const char *mode) { return stream(&real_fopen, "fopen", path, mode); }
FILE *fopen64(const char *path, const char *mode) { return stream(&real_fopen64, "fopen64", path, mode); }

/* ---- writing ---- */

static void *real_write, *real_pwrite, *real_pwrite64, *real_writev;
static void *real_copy_file_range, *real_sendfile, *real_sendfile64;

#define CALL_WRITE(descriptor, size, call, half)                               \
    do {                                                                       \
        char whole[PATH_MAX];                                                  \
        int what = 0;                                                          \
        if (faults.armed && of_descriptor(whole, descriptor)) what = consider("write", whole); \
        if (what > 0) return errno = what, -1;                                 \
        if (what == -2) {                                                      \
            ssize_t written = (size) > 1 ? (half) : 0;                         \
            if (faults.mode == TORN) die();                                    \
            return written;                                                    \
        }                                                                      \
        ssize_t answer = (call);                                               \
        if (what == -1) die();                                                 \
        return answer;                                                         \
    } while (0)

ssize_t write(int descriptor, const void *data, size_t size) {
    CALL_WRITE(descriptor, size, REAL(write)(descriptor, data, size), REAL(write)(descriptor, data, size / 2));
}
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at) {
    CALL_WRITE(descriptor, size, REAL(pwrite)(descriptor, data, size, at), REAL(pwrite)(descriptor, data, size / 2, at));
}
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t at) {
    CALL_WRITE(descriptor, size, REAL(pwrite64)(descriptor, data, size, at),
               REAL(pwrite64)(descriptor, data, size / 2, at));
}
ssize_t writev(int descriptor, const struct iovec *parts, int number) {
    CALL_WRITE(descriptor, number, REAL(writev)(descriptor, parts, number), REAL(writev)(descriptor, parts, number / 2));
}
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
    CALL_WRITE(to, size, REAL(copy_file_range)(from, from_at, to, to_at, size, flags),
               REAL(copy_file_range)(from, from_at, to, to_at, size / 2, flags));
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) {
    CALL_WRITE(to, size, ((ssize_t(*)(int, int, off_t *, size_t))next(&real_sendfile, "sendfile"))(to, from, at, size),
               ((ssize_t(*)(int, int, off_t *, size_t))next(&real_sendfile, "sendfile"))(to, from, at, size / 2));
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    CALL_WRITE(to, size,
               ((ssize_t(*)(int, int, off64_t *, size_t))next(&real_sendfile64, "sendfile64"))(to, from, at, size),
               ((ssize_t(*)(int, int, off64_t *, size_t))next(&real_sendfile64, "sendfile64"))(to, from, at, size / 2));
}

/* ---- the rest ---- */

static void *real_fsync, *real_fdatasync, *real_close, *real_ftruncate, *real_ftruncate64, *real_truncate;
static void *real_truncate64, *real_rename, *real_renameat, *real_renameat2, *real_unlink, *real_unlinkat, *real_remove;
static void *real_rmdir, *real_mkdir, *real_mkdirat, *real_link, *real_linkat, *real_symlink, *real_symlinkat;
static void *real_fallocate, *real_fallocate64;

int fsync(int descriptor) { CALL_DESCRIPTOR("fsync", descriptor, REAL(fsync)(descriptor)); }
int fdatasync(int descriptor) { CALL_DESCRIPTOR("fsync", descriptor, REAL(fdatasync)(descriptor)); }
int close(int descriptor) {
    char whole[PATH_MAX];
    int what = 0;
    /* Only what was written can be reported late, by a network file system above all. */
    int writable = faults.armed && (fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_RDONLY;
    if (writable && of_descriptor(whole, descriptor)) what = consider("close", whole);
    int answer = REAL(close)(descriptor); /* the descriptor is gone whatever close() says */
    if (what < 0) die();
    if (what > 0) return errno = what, -1;
    return answer;
}
int ftruncate(int descriptor, off_t size) { CALL_DESCRIPTOR("truncate", descriptor, REAL(ftruncate)(descriptor, size)); }
int ftruncate64(int descriptor, off64_t size) {
    CALL_DESCRIPTOR("truncate", descriptor, REAL(ftruncate64)(descriptor, size));
}
int truncate(const char *path, off_t size) { CALL_PATH("truncate", AT_FDCWD, path, REAL(truncate)(path, size)); }
int truncate64(const char *path, off64_t size) { CALL_PATH("truncate", AT_FDCWD, path, REAL(truncate64)(path, size)); }
int fallocate(int descriptor, int mode, off_t at, off_t size) {
    CALL_DESCRIPTOR("truncate", descriptor, REAL(fallocate)(descriptor, mode, at, size));
}
int fallocate64(int descriptor, int mode, off64_t at, off64_t size) {
    CALL_DESCRIPTOR("truncate", descriptor, REAL(fallocate64)(descriptor, mode, at, size));
}
int rename(const char *from, const char *to) { CALL_PATH("rename", AT_FDCWD, to, REAL(rename)(from, to)); }
int renameat(int from_folder, const char *from, int folder, const char *to) {
    CALL_PATH("rename", folder, to, REAL(renameat)(from_folder, from, folder, to));
}
int renameat2(int from_folder, const char *from, int folder, const char *to, unsigned flags) {
    CALL_PATH("rename", folder, to, REAL(renameat2)(from_folder, from, folder, to, flags));
}
int unlink(const char *path) { CALL_PATH("unlink", AT_FDCWD, path, REAL(unlink)(path)); }
int unlinkat(int folder, const char *path, int flags) {
    CALL_PATH(flags & AT_REMOVEDIR ? "rmdir" : "unlink", folder, path, REAL(unlinkat)(folder, path, flags));
}
int remove(const char *path) { CALL_PATH("unlink", AT_FDCWD, path, REAL(remove)(path)); }
int rmdir(const char *path) { CALL_PATH("rmdir", AT_FDCWD, path, REAL(rmdir)(path)); }
int mkdir(const char *path, mode_t mode) { CALL_PATH("mkdir", AT_FDCWD, path, REAL(mkdir)(path, mode)); }
int mkdirat(int folder, const char *path, mode_t mode) { CALL_PATH("mkdir", folder, path, REAL(mkdirat)(folder, path, mode)); }
int link(const char *from, const char *to) { CALL_PATH("link", AT_FDCWD, to, REAL(link)(from, to)); }
int linkat(int from_folder, const char *from, int folder, const char *to, int flags) {
    CALL_PATH("link", folder, to, REAL(linkat)(from_folder, from, folder, to, flags));
}
int symlink(const char *from, const char *to) { CALL_PATH("symlink", AT_FDCWD, to, REAL(symlink)(from, to)); }
int symlinkat(const char *from, int folder, const char *to) { CALL_PATH("symlink", folder, to, REAL(symlinkat)(from, folder, to)); }

/* Reading may fail as well, where it is asked for. */
static void *real_read, *real_pread64;
ssize_t read(int descriptor, void *data, size_t size) { CALL_DESCRIPTOR("read", descriptor, REAL(read)(descriptor, data, size)); }
ssize_t pread64(int descriptor, void *data, size_t size, off64_t at) {
    CALL_DESCRIPTOR("read", descriptor, REAL(pread64)(descriptor, data, size, at));
}

/* Whoever asks the kernel directly (a libc without renameat2, for instance). Only what changes names matters here. */
static void *real_syscall;
long syscall(long number, ...) {
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    long (*real)(long, ...) = (long (*)(long, ...))next(&real_syscall, "syscall");
#ifdef SYS_renameat2
    if (number == SYS_renameat2 && faults.armed)
        CALL_PATH("rename", (int)a[2], (const char *)a[3], real(number, a[0], a[1], a[2], a[3], a[4], a[5]));
#endif
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
