#include "CSockets.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int streams_open(const char *host, uint16_t port, int wake, streams_t *opened) {
    streams_t made = {-1, -1};
    int reason = sockets_bind(host, port, SOCK_STREAM, &made.listening);
    if (reason) return reason;
    made.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (listen(made.listening, SOMAXCONN) != 0 || made.epoll < 0 || !streams_add(&made, wake, stream_wake) ||
        !streams_add(&made, made.listening, stream_listening)) {
        reason = errno;
        streams_close(&made);
        return reason;
    }
    *opened = made;
    return 0;
}

void streams_close(streams_t *streams) {
    close(streams->listening);
    if (streams->epoll >= 0) close(streams->epoll);
}

static int control(const streams_t *streams, int operation, int descriptor, uint64_t id, bool reads, bool writes) {
    struct epoll_event event = {.events = (reads ? EPOLLIN : 0) | (writes ? EPOLLOUT : 0), .data.u64 = id};
    return epoll_ctl(streams->epoll, operation, descriptor, &event);
}

bool streams_add(const streams_t *streams, int descriptor, uint64_t id) {
    return control(streams, EPOLL_CTL_ADD, descriptor, id, true, false) == 0;
}

void streams_change(const streams_t *streams, int descriptor, uint64_t id, bool reads, bool writes) {
    control(streams, EPOLL_CTL_MOD, descriptor, id, reads, writes);
}

int streams_wait(const streams_t *streams, stream_event_t *events, int capacity, int timeout) {
    struct epoll_event ready[64];
    int found = epoll_wait(streams->epoll, ready, capacity < 64 ? capacity : 64, timeout);
    for (int place = 0; place < found; place++)
        events[place] = (stream_event_t){
            .id = ready[place].data.u64,
            .is_readable = ready[place].events & EPOLLIN,
            .is_writable = ready[place].events & EPOLLOUT,
            .is_broken = ready[place].events & (EPOLLERR | EPOLLHUP)};
    return found < 0 ? 0 : found;
}

int streams_accept(const streams_t *streams, char *text, size_t capacity) {
    struct sockaddr_in6 address = {0};
    socklen_t length = sizeof address;
    int on = 1;
    int accepted = accept4(streams->listening, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return stream_no_descriptor;
        return errno == EAGAIN || errno == EWOULDBLOCK ? stream_nothing : stream_failed;
    }
    // Answers gather in one write as it is.
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockets_text(&address, text, capacity);
    return accepted;
}

static ssize_t result(ssize_t count) {
    if (count >= 0) return count;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? stream_nothing : stream_failed;
}

ssize_t stream_read(int descriptor, void *bytes, size_t capacity) {
    return result(recv(descriptor, bytes, capacity, MSG_DONTWAIT));
}

ssize_t stream_write(int descriptor, const void *bytes, size_t count) {
    return result(send(descriptor, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL));
}
