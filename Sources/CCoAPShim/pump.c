// Waiting for sockets, and bringing what they have to libcoap one by one.
#include "CCoAPShim.h"
#include "guard.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int coap_shim_epoll(const int *descriptors, int count, int wake_descriptor) {
    int made = epoll_create1(EPOLL_CLOEXEC);
    if (made < 0) return -1;
    for (int index = 0; index <= count; index++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
        if (epoll_ctl(made, EPOLL_CTL_ADD, index == count ? wake_descriptor : descriptors[index], &event) != 0) {
            close(made);
            return -1;
        }
    }
    return made;
}

int coap_shim_wait(int epoll_descriptor, uint32_t *ready, int count, int wake_descriptor, int timeout) {
    struct epoll_event events[64];
    int found = epoll_wait(epoll_descriptor, events, 64, timeout), sockets = 0;
    for (int index = 0; index < found; index++) {
        if (events[index].data.u32 < (uint32_t)count) {
            ready[sockets++] = events[index].data.u32;
        } else {
            uint64_t wakes;
            if (read(wake_descriptor, &wakes, sizeof wakes) < 0) continue;  // EAGAIN: taken back already
        }
    }
    return sockets;
}

void coap_shim_pump(coap_context_t *idle_context, const coap_shim_socket_t *socket, int depth) {
    struct epoll_event events[64];
    if (depth > 64) depth = 64;
    // libcoap reads one datagram for each event; a read too many finds nothing and does no harm.
    for (int index = 0; index < depth; index++)
        events[index] = (struct epoll_event){.events = EPOLLIN, .data.ptr = socket->event_pointer};
    coap_io_do_epoll(idle_context, events, (size_t)depth);
}

void coap_shim_pump_connections(coap_context_t *idle_context, coap_context_t *context) {
    struct epoll_event events[64], timer = {0};
    int found = epoll_wait(coap_context_get_coap_fd(context), events, 64, 0), sockets = 0;
    for (int index = 0; index < found; index++) {
        if (events[index].data.ptr)
            events[sockets++] = events[index];
        else
            timer = events[index];
    }
    for (int index = 0; index < sockets; index++) {
        do coap_io_do_epoll(idle_context, &events[index], 1);
        while (coap_shim_connections_have_more());
    }
    // Its timer is one that only the context itself can take back.
    if (timer.events) coap_io_do_epoll(context, &timer, 1);
}
