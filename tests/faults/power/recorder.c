/* A library for LD_PRELOAD that records what a process changes below one folder.
 *
 * Each record is appended to a log after the operation has happened and before its caller goes on. A lock that all
 * processes share covers an operation and its record, so that the order of the log is the order on the disk. The only
 * exception are the syncs: they are not carried out at all (the log says what they promise), they wait a little, and
 * their record names the log's length at their start: what lies before it is on the disk when the record is there.
 *
 * POWER_FOLDER (a real path), POWER_LOG and POWER_CONTROL name the folder, the log, and a file with `struct control`,
 * by which the test switches faults on and off at run time. `disk.py` reads the log. POWER_BOOT_ID names a file that is
 * opened where a process asks for the id of the machine's start: what runs after a power loss is told another one.
 *
 * It is one file, because it is one object to load, and most of it are the C library's many names of few operations.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, MKDIR, WRITE, TRUNCATE, ALLOCATE, RENAME, LINK, REMOVE, SYNC, SYNC_ALL, MAP, UNKNOWN, ANSWER };
enum { IGNORE_FILE_SYNC = 1, IGNORE_FOLDER_SYNC = 2, ONLY_SYNCS_FAIL = 4 };

struct control {
    uint32_t flags;
    uint32_t full_per_mille; /* how many of a thousand writes and syncs fail with ENOSPC */
    uint32_t random;
    uint32_t delay; /* longest time of a sync, in microseconds */
    uint32_t refused; /* counts the operations that failed with ENOSPC */
};

struct record {
    uint32_t magic;
    uint16_t kind, name_length, other_length, unused;
    uint32_t process;
    uint64_t a, b, c, d, data_length;
};

static const uint32_t MAGIC = 0x504f5752;
static const char *folder, *boot_id;
static size_t folder_length;
static int log_fd = -1, control_fd = -1;
static struct control *control;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static long raw(long number, long a, long b, long c, long d, long e, long f) {
    return syscall(number, a, b, c, d, e, f);
}
#define RAW(number, a, b, c, d, e, f) raw(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static int raw_open(int at, const char *path, int flags, mode_t mode) {
    return (int)RAW(SYS_openat, at, path, flags, mode, 0, 0);
}

static void forget_lock(void) { pthread_mutex_init(&mutex, NULL); }

static int open_high(const char *path, int flags) {
    int low = raw_open(AT_FDCWD, path, flags | O_CLOEXEC, 0600);
    int high = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 700);
    if (high < 0)
        return low;
    RAW(SYS_close, low, 0, 0, 0, 0, 0);
    return high;
}

__attribute__((constructor)) static void start(void) {
    const char *place = getenv("POWER_FOLDER"), *log = getenv("POWER_LOG"), *settings = getenv("POWER_CONTROL");
    if (!place || !log || !settings)
        return;
    control_fd = open_high(settings, O_RDWR);
    log_fd = open_high(log, O_WRONLY | O_APPEND);
    control = (void *)RAW(SYS_mmap, 0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, control_fd, 0);
    if (control_fd < 0 || log_fd < 0 || control == MAP_FAILED) {
        fprintf(stderr, "recorder: cannot open %s and %s\n", log, settings);
        _exit(99);
    }
    folder_length = strlen(place);
    pthread_atfork(NULL, NULL, forget_lock);
    boot_id = getenv("POWER_BOOT_ID") ? strdup(getenv("POWER_BOOT_ID")) : NULL;
    folder = strdup(place);
}

/* ---------------------------------------------------------------------------------------- lock and log */

static void lock_range(short kind) {
    struct flock range = {.l_type = kind, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    while (fcntl(control_fd, F_SETLKW, &range) < 0 && errno == EINTR) {
    }
}

static void acquire(void) {
    int saved = errno;
    pthread_mutex_lock(&mutex);
    lock_range(F_WRLCK);
    errno = saved;
}

static void release(void) {
    int saved = errno;
    lock_range(F_UNLCK);
    pthread_mutex_unlock(&mutex);
    errno = saved;
}

static void append(struct record record, const char *name, const char *other, const void *data, size_t size) {
    int saved = errno;
    record.magic = MAGIC;
    record.process = (uint32_t)getpid();
    record.name_length = name ? (uint16_t)strlen(name) : 0;
    record.other_length = other ? (uint16_t)strlen(other) : 0;
    record.data_length = size;
    struct iovec parts[4] = {{&record, sizeof record},
                             {(void *)name, record.name_length},
                             {(void *)other, record.other_length},
                             {(void *)data, size}};
    size_t whole = sizeof record + record.name_length + record.other_length + size;
    if ((size_t)RAW(SYS_writev, log_fd, parts, 4, 0, 0, 0) != whole) {
        fprintf(stderr, "recorder: the log cannot be written\n");
        _exit(99);
    }
    errno = saved;
}

static uint64_t log_length(void) { return (uint64_t)RAW(SYS_lseek, log_fd, 0, SEEK_END, 0, 0, 0); }

static uint32_t draw(void) { /* under the lock */
    control->random = control->random * 1664525u + 1013904223u;
    return control->random >> 8;
}

static int refuses(void) { /* under the lock */
    if (!control->full_per_mille || draw() % 1000 >= control->full_per_mille)
        return 0;
    control->refused++;
    errno = ENOSPC;
    return 1;
}

static int is_full(void) { return !(control->flags & ONLY_SYNCS_FAIL) && refuses(); }

/* ----------------------------------------------------------------------------- what lies in the folder */

static int is_below(const char *path) {
    return !strncmp(path, folder, folder_length) && (path[folder_length] == '/' || !path[folder_length]);
}

static int is_ours(int fd) {
    char link[32], path[PATH_MAX + 1];
    if (!folder || fd < 0)
        return 0;
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = RAW(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX, 0, 0);
    errno = saved;
    if (length <= 0)
        return 0;
    path[length] = 0;
    return is_below(path);
}

static uint64_t inode_of(int fd) {
    struct stat info;
    return fstat(fd, &info) ? 0 : info.st_ino;
}

static uint64_t inode_at(int at, const char *name) {
    struct stat info;
    int saved = errno;
    uint64_t found = fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) ? 0 : info.st_ino;
    errno = saved;
    return found;
}

struct place {
    int fd; /* of the parent, or -1 where it is none of ours */
    uint64_t parent;
    char name[NAME_MAX + 1];
};

static struct place find(int at, const char *path) {
    struct place place = {.fd = -1};
    char parent[PATH_MAX + 1];
    size_t length = path ? strlen(path) : 0;
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (!folder || !length || length > PATH_MAX)
        return place;
    int saved = errno;
    memcpy(parent, path, length);
    parent[length] = 0;
    char *slash = strrchr(parent, '/');
    const char *name = slash ? slash + 1 : parent;
    if (strlen(name) <= NAME_MAX) {
        strcpy(place.name, name);
        const char *above = !slash ? "." : slash == parent ? "/" : (*slash = 0, parent);
        int fd = raw_open(at, above, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
        if (fd >= 0 && is_ours(fd)) {
            place.fd = fd;
            place.parent = inode_of(fd);
        } else if (fd >= 0)
            RAW(SYS_close, fd, 0, 0, 0, 0, 0);
    }
    errno = saved;
    return place;
}

static void leave(struct place *place) {
    int saved = errno;
    if (place->fd >= 0)
        RAW(SYS_close, place->fd, 0, 0, 0, 0, 0);
    errno = saved;
}

/* -------------------------------------------------------------------------------------------- opening */

static int open_file(int at, const char *path, int flags, mode_t mode) {
    int is_nameless = (flags & O_TMPFILE) == O_TMPFILE;
    if (boot_id && path && !strcmp(path, "/proc/sys/kernel/random/boot_id"))
        path = boot_id;
    if (!folder || !(flags & (O_CREAT | O_TRUNC) || is_nameless))
        return raw_open(at, path, flags, mode);
    struct place place = find(at, path);
    if (place.fd < 0)
        return raw_open(at, path, flags, mode);
    acquire();
    uint64_t before = is_nameless ? 0 : inode_at(place.fd, place.name);
    int fd = !before && is_full() ? -1 : raw_open(at, path, flags, mode);
    if (fd >= 0) {
        uint64_t inode = inode_of(fd);
        if (!before)
            append((struct record){.kind = CREATE, .a = place.parent, .b = inode}, is_nameless ? "" : place.name, 0, 0, 0);
        else if (flags & O_TRUNC)
            append((struct record){.kind = TRUNCATE, .a = inode, .b = 0}, 0, 0, 0, 0);
    }
    release();
    leave(&place);
    return fd;
}

#define MODE(flags)                                        \
    mode_t mode = 0;                                       \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list list;                                      \
        va_start(list, flags);                             \
        mode = (mode_t)va_arg(list, int);                  \
        va_end(list);                                      \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_file(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_file(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return open_file(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return open_file(at, path, flags, mode); }
int __open_2(const char *path, int flags) { return open_file(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_file(AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return open_file(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return open_file(at, path, flags, 0); }
int creat(const char *path, mode_t mode) { return open_file(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open_file(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* -------------------------------------------------------------------------------------------- writing */

/* A good answer to a request whose X-Request-Id is ours is recorded just before it leaves. */
static void note_answer(const struct iovec *parts, int count) {
    static const char good[] = "HTTP/1.1 2", name[] = "x-request-id: power-";
    if (!folder || count < 1 || parts[0].iov_len < sizeof good || memcmp(parts[0].iov_base, good, sizeof good - 1))
        return;
    for (int i = 0; i < count; i++) {
        const char *found = memmem(parts[i].iov_base, parts[i].iov_len, name, sizeof name - 1);
        if (!found)
            continue;
        char id[32];
        size_t left = (size_t)((const char *)parts[i].iov_base + parts[i].iov_len - found) - 14, length = 0;
        while (length < left && length < sizeof id - 1 && found[14 + length] > ' ')
            length++;
        memcpy(id, found + 14, length);
        id[length] = 0;
        acquire();
        append((struct record){.kind = ANSWER}, id, 0, 0, 0);
        release();
        return;
    }
}

static void note_write(int fd, off_t offset, const struct iovec *parts, int count, size_t size) {
    char *data = malloc(size ? size : 1);
    size_t at = 0;
    for (int i = 0; i < count && at < size; i++) {
        size_t some = parts[i].iov_len < size - at ? parts[i].iov_len : size - at;
        memcpy(data + at, parts[i].iov_base, some);
        at += some;
    }
    uint64_t inode = inode_of(fd);
    append((struct record){.kind = WRITE, .a = inode, .b = (uint64_t)offset}, 0, 0, data, size);
    free(data);
}

/* `offset` -1: where the file stands. `flags` as of pwritev2. */
static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    acquire();
    ssize_t done = -1;
    if (!is_full())
        done = RAW(SYS_pwritev2, fd, parts, count, offset, offset >> 32 >> 32, flags);
    if (done > 0) {
        int saved = errno, mode = fcntl(fd, F_GETFL);
        off_t end = offset + done;
        struct stat info;
        if (offset < 0)
            end = RAW(SYS_lseek, fd, 0, SEEK_CUR, 0, 0, 0);
        else if (mode & O_APPEND || flags & RWF_APPEND)
            end = fstat(fd, &info) ? 0 : info.st_size;
        note_write(fd, end - done, parts, count, (size_t)done);
        if (mode & O_DSYNC || flags & (RWF_DSYNC | RWF_SYNC))
            append((struct record){.kind = SYNC, .a = inode_of(fd), .b = log_length()}, 0, 0, 0, 0);
        errno = saved;
    }
    release();
    return done;
}

ssize_t write(int fd, const void *data, size_t size) {
    struct iovec part = {(void *)data, size};
    if (!is_ours(fd)) {
        note_answer(&part, 1);
        return RAW(SYS_write, fd, data, size, 0, 0, 0);
    }
    return write_parts(fd, &part, 1, -1, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_ours(fd)) {
        note_answer(parts, count);
        return RAW(SYS_writev, fd, parts, count, 0, 0, 0);
    }
    return write_parts(fd, parts, count, -1, 0);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    struct iovec part = {(void *)data, size};
    note_answer(&part, 1);
    return RAW(SYS_sendto, fd, data, size, flags, 0, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    note_answer(message->msg_iov, (int)message->msg_iovlen);
    return RAW(SYS_sendmsg, fd, message, flags, 0, 0, 0);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    if (!is_ours(fd))
        return RAW(SYS_pwritev2, fd, parts, count, offset, offset >> 32 >> 32, flags);
    return write_parts(fd, parts, count, offset, flags);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    struct iovec part = {(void *)data, size};
    if (offset < 0) {
        errno = EINVAL;
        return -1;
    }
    return pwritev2(fd, &part, 1, offset, 0);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    if (offset < 0) {
        errno = EINVAL;
        return -1;
    }
    return pwritev2(fd, parts, count, offset, 0);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return pwritev(fd, parts, count, offset); }
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
    return pwritev2(fd, parts, count, offset, flags);
}

/* What the kernel copied into a file is read back from it. */
static void note_copy(int fd, off_t offset, size_t size) {
    char link[32];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = raw_open(AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    struct iovec part = {malloc(size), size};
    if (again < 0 || pread(again, part.iov_base, size, offset) != (ssize_t)size)
        append((struct record){.kind = UNKNOWN}, "a copy that cannot be read back", 0, 0, 0);
    else
        note_write(fd, offset, &part, 1, size);
    free(part.iov_base);
    if (again >= 0)
        RAW(SYS_close, again, 0, 0, 0, 0, 0);
    errno = saved;
}

ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    if (!is_ours(to))
        return RAW(SYS_sendfile, to, from, offset, size, 0, 0);
    acquire();
    ssize_t done = is_full() ? -1 : RAW(SYS_sendfile, to, from, offset, size, 0, 0);
    if (done > 0)
        note_copy(to, RAW(SYS_lseek, to, 0, SEEK_CUR, 0, 0, 0) - done, (size_t)done);
    release();
    return done;
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) { return sendfile(to, from, offset, size); }

ssize_t copy_file_range(int from, off64_t *offset, int to, off64_t *target, size_t size, unsigned flags) {
    if (!is_ours(to))
        return RAW(SYS_copy_file_range, from, offset, to, target, size, flags);
    acquire();
    ssize_t done = is_full() ? -1 : RAW(SYS_copy_file_range, from, offset, to, target, size, flags);
    if (done > 0)
        note_copy(to, (target ? *target : RAW(SYS_lseek, to, 0, SEEK_CUR, 0, 0, 0)) - done, (size_t)done);
    release();
    return done;
}

int ftruncate(int fd, off_t size) {
    if (!is_ours(fd))
        return (int)RAW(SYS_ftruncate, fd, size, 0, 0, 0, 0);
    acquire();
    int done = (int)RAW(SYS_ftruncate, fd, size, 0, 0, 0, 0);
    if (!done)
        append((struct record){.kind = TRUNCATE, .a = inode_of(fd), .b = (uint64_t)size}, 0, 0, 0, 0);
    release();
    return done;
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

int truncate(const char *path, off_t size) {
    int fd = raw_open(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int done = ftruncate(fd, size), saved = errno;
    RAW(SYS_close, fd, 0, 0, 0, 0, 0);
    errno = saved;
    return done;
}

int truncate64(const char *path, off64_t size) { return truncate(path, size); }

int fallocate(int fd, int mode, off_t offset, off_t size) {
    if (!is_ours(fd))
        return (int)RAW(SYS_fallocate, fd, mode, offset, size, 0, 0);
    acquire();
    int done = is_full() ? -1 : (int)RAW(SYS_fallocate, fd, mode, offset, size, 0, 0);
    if (!done)
        append((struct record){.kind = ALLOCATE,
                               .a = inode_of(fd),
                               .b = (uint64_t)offset,
                               .c = (uint64_t)size,
                               .d = (uint64_t)mode},
               0, 0, 0, 0);
    release();
    return done;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size) { return fallocate(fd, mode, offset, size); }

int posix_fallocate(int fd, off_t offset, off_t size) {
    int saved = errno, failed = fallocate(fd, 0, offset, size) ? errno : 0;
    errno = saved;
    return failed;
}

int posix_fallocate64(int fd, off64_t offset, off64_t size) { return posix_fallocate(fd, offset, size); }

static void *map(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    void *mapped = (void *)RAW(SYS_mmap, address, size, protection, flags, fd, offset);
    int is_shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
    if (mapped != MAP_FAILED && !(flags & MAP_ANONYMOUS) && is_shared && protection & PROT_WRITE && is_ours(fd)) {
        acquire();
        append((struct record){.kind = MAP, .a = inode_of(fd)}, 0, 0, 0, 0);
        release();
    }
    return mapped;
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    return map(address, size, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t offset) {
    return map(address, size, protection, flags, fd, offset);
}

/* ---------------------------------------------------------------------------------------------- names */

static int move(int at, const char *path, int other_at, const char *other_path, unsigned flags) {
    struct place from = find(at, path), to = find(other_at, other_path);
    int is_noted = from.fd >= 0 || to.fd >= 0, done;
    if (is_noted)
        acquire();
    uint64_t inode = is_noted && from.fd >= 0 ? inode_at(from.fd, from.name) : 0;
    done = is_noted && is_full() ? -1 : (int)RAW(SYS_renameat2, at, path, other_at, other_path, flags, 0);
    if (is_noted && !done) {
        if (from.fd < 0 || to.fd < 0 || flags & ~RENAME_NOREPLACE)
            append((struct record){.kind = UNKNOWN}, "a rename across the folder's edge, or an exchange", 0, 0, 0);
        else
            append((struct record){.kind = RENAME, .a = from.parent, .b = to.parent, .c = inode}, from.name, to.name, 0, 0);
    }
    if (is_noted)
        release();
    leave(&from);
    leave(&to);
    return done;
}

int rename(const char *path, const char *other) { return move(AT_FDCWD, path, AT_FDCWD, other, 0); }
int renameat(int at, const char *path, int other_at, const char *other) { return move(at, path, other_at, other, 0); }
int renameat2(int at, const char *path, int other_at, const char *other, unsigned flags) {
    return move(at, path, other_at, other, flags);
}

int linkat(int at, const char *path, int other_at, const char *other, int flags) {
    struct place place = find(other_at, other);
    if (place.fd < 0)
        return (int)RAW(SYS_linkat, at, path, other_at, other, flags, 0);
    acquire();
    int done = is_full() ? -1 : (int)RAW(SYS_linkat, at, path, other_at, other, flags, 0);
    if (!done)
        append((struct record){.kind = LINK, .a = place.parent, .b = inode_at(place.fd, place.name)}, place.name, 0, 0, 0);
    release();
    leave(&place);
    return done;
}

int link(const char *path, const char *other) { return linkat(AT_FDCWD, path, AT_FDCWD, other, 0); }

int unlinkat(int at, const char *path, int flags) {
    struct place place = find(at, path);
    if (place.fd < 0)
        return (int)RAW(SYS_unlinkat, at, path, flags, 0, 0, 0);
    acquire();
    uint64_t inode = inode_at(place.fd, place.name);
    int done = (int)RAW(SYS_unlinkat, at, path, flags, 0, 0, 0);
    if (!done)
        append((struct record){.kind = REMOVE, .a = place.parent, .b = inode}, place.name, 0, 0, 0);
    release();
    leave(&place);
    return done;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int at, const char *path, mode_t mode) {
    struct place place = find(at, path);
    if (place.fd < 0)
        return (int)RAW(SYS_mkdirat, at, path, mode, 0, 0, 0);
    acquire();
    int done = (int)RAW(SYS_mkdirat, at, path, mode, 0, 0, 0);
    if (!done)
        append((struct record){.kind = MKDIR, .a = place.parent, .b = inode_at(place.fd, place.name)}, place.name, 0, 0, 0);
    release();
    leave(&place);
    return done;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char *target, int at, const char *path) {
    struct place place = find(at, path);
    int done = (int)RAW(SYS_symlinkat, target, at, path, 0, 0, 0);
    if (!done && place.fd >= 0) {
        acquire();
        append((struct record){.kind = UNKNOWN}, "a symbolic link", 0, 0, 0);
        release();
    }
    leave(&place);
    return done;
}

int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

/* -------------------------------------------------------------------------------------------- syncing */

static int promise(int fd, int kind) {
    struct stat info;
    if (fstat(fd, &info))
        return -1;
    acquire();
    uint64_t start = log_length();
    int is_refused = refuses();
    uint32_t delay = control->delay ? draw() % control->delay : 0;
    release();
    if (is_refused)
        return -1;
    struct timespec pause = {.tv_nsec = (long)delay * 1000};
    nanosleep(&pause, NULL);
    if (!(control->flags & (S_ISDIR(info.st_mode) ? IGNORE_FOLDER_SYNC : IGNORE_FILE_SYNC))) {
        acquire();
        append((struct record){.kind = (uint16_t)kind, .a = info.st_ino, .b = start}, 0, 0, 0, 0);
        release();
    }
    return 0;
}

int fsync(int fd) { return is_ours(fd) ? promise(fd, SYNC) : (int)RAW(SYS_fsync, fd, 0, 0, 0, 0, 0); }
int fdatasync(int fd) { return is_ours(fd) ? promise(fd, SYNC) : (int)RAW(SYS_fdatasync, fd, 0, 0, 0, 0, 0); }
int syncfs(int fd) { return is_ours(fd) ? promise(fd, SYNC_ALL) : (int)RAW(SYS_syncfs, fd, 0, 0, 0, 0, 0); }

void sync(void) {
    if (folder) {
        int fd = raw_open(AT_FDCWD, folder, O_RDONLY | O_CLOEXEC, 0);
        promise(fd, SYNC_ALL);
        RAW(SYS_close, fd, 0, 0, 0, 0, 0);
    } else
        RAW(SYS_sync, 0, 0, 0, 0, 0, 0);
}
