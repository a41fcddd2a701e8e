/* LD_PRELOAD: makes fsync and fdatasync take NETLAB_SLOW_SYNC_US microseconds longer (5000 when unset), like
 * a disk with a real flush, and counts them in the file NETLAB_SLOW_SYNC_COUNT, so that a benchmark can tell
 * that the server really waited for its disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static struct timespec delay = {0, 5000 * 1000};
static _Atomic uint64_t* count;

__attribute__((constructor)) static void begin(void) {
  real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  const char* us = getenv("NETLAB_SLOW_SYNC_US");
  if (us) {
    long n = strtol(us, NULL, 10);
    delay.tv_sec = n / 1000000;
    delay.tv_nsec = n % 1000000 * 1000;
  }
  const char* path = getenv("NETLAB_SLOW_SYNC_COUNT");
  int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
  if (fd < 0) return;
  /* Mapped, so that the count survives a server that is killed. */
  if (ftruncate(fd, sizeof *count) == 0) {
    void* at = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) count = at;
  }
  close(fd);
}

static void wait_for_disk(void) {
  struct timespec left = delay;
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
  if (count) atomic_fetch_add(count, 1);
}

int fsync(int fd) {
  wait_for_disk();
  return real_fsync(fd);
}

int fdatasync(int fd) {
  wait_for_disk();
  return real_fdatasync(fd);
}
