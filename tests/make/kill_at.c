/* kill_at.c - a library to preload that ends a process at its n-th change of the file system, as SIGKILL would.
 *
 *   cc -shared -fPIC -o kill_at.so kill_at.c -ldl
 *   KILL_AT=n LD_PRELOAD=./kill_at.so PROGRAM        killed before the n-th of these calls is made (n counts from 1)
 *   KILL_AT_COUNT=FILE LD_PRELOAD=./kill_at.so PROGRAM    writes how many there were to FILE at the end
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned long calls;

static void count(void) {
    static unsigned long at;
    if (calls++ == 0) {
        const char *text = getenv("KILL_AT");
        at = text == NULL ? 0 : strtoul(text, NULL, 10);
    }
    if (at != 0 && calls == at) kill(getpid(), SIGKILL);
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("KILL_AT_COUNT");
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (file == NULL) return;
    fprintf(file, "%lu\n", calls);
    fclose(file);
}

#define WRAP(type, name, parameters, arguments)                                                                        \
    type name parameters {                                                                                             \
        static type(*next) parameters;                                                                                 \
        if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, #name);                                                   \
        count();                                                                                                       \
        return next arguments;                                                                                         \
    }

WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, remove, (const char *path), (path))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, fsync, (int file), (file))
WRAP(int, fdatasync, (int file), (file))
WRAP(int, ftruncate64, (int file, off64_t size), (file, size))
WRAP(ssize_t, pwrite64, (int file, const void *bytes, size_t size, off64_t at), (file, bytes, size, at))
