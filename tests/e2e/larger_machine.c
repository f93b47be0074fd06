/* Preloaded into a program, makes it see a machine of MACHINE_BYTES of memory and no cgroup's limit, so that a check of a model
 * that fits no test machine is the same everywhere. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

long sysconf(int name) {
  long (*real)(int) = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
  return name == _SC_PHYS_PAGES ? (long)(MACHINE_BYTES / real(_SC_PAGESIZE)) : real(name);
}

static int open_as(const char* symbol, const char* path, int flags, va_list arguments) {
  int (*real)(const char*, int, ...) = (int (*)(const char*, int, ...))dlsym(RTLD_NEXT, symbol);
  const char* file = strrchr(path, '/');
  if (file != NULL && (strcmp(file, "/memory.max") == 0 || strcmp(file, "/memory.limit_in_bytes") == 0)) {
    errno = ENOENT;
    return -1;
  }
  return real(path, flags, flags & O_CREAT ? va_arg(arguments, int) : 0);
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int fd = open_as("open", path, flags, arguments);
  va_end(arguments);
  return fd;
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int fd = open_as("open64", path, flags, arguments);
  va_end(arguments);
  return fd;
}
