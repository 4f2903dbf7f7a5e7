#include "CSockets.h"

#include <netdb.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int sockets_wake_open(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void sockets_wake(int descriptor) {
    uint64_t one = 1;
    // It can only be full, and then it wakes.
    if (write(descriptor, &one, sizeof one) < 0) return;
}

void sockets_wake_clear(int descriptor) {
    uint64_t wakes;
    if (read(descriptor, &wakes, sizeof wakes) < 0) return;
}

void sockets_close(int descriptor) { close(descriptor); }

void sockets_name_thread(pthread_t thread, const char *name) { pthread_setname_np(thread, name); }

const char *sockets_error_text(int result) { return result < 0 ? gai_strerror(result) : strerror(result); }
