#include "CSockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// MARK: Listening

static int listen_on(const struct addrinfo *where, int *listening) {
    int made = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0;
    if (made < 0) return errno;
    // The port of a process that has just ended can be had at once.
    setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (where->ai_family == AF_INET6) setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(made, where->ai_addr, where->ai_addrlen) != 0 || listen(made, SOMAXCONN) != 0) {
        int reason = errno;
        close(made);
        return reason;
    }
    *listening = made;
    return 0;
}

int streams_open(const char *host, uint16_t port, int wake, streams_t *opened) {
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *where = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(host, service, &hints, &where);
    if (failed) return failed > 0 ? -failed : failed;
    streams_t made = {-1, -1};
    int reason = listen_on(where, &made.listening);
    freeaddrinfo(where);
    if (reason) return reason;
    made.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (made.epoll < 0 || !streams_add(&made, wake, stream_wake, true, false) ||
        !streams_add(&made, made.listening, stream_listening, true, false)) {
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

uint16_t streams_port(const streams_t *streams) {
    struct sockaddr_in6 bound = {0};
    socklen_t length = sizeof bound;
    getsockname(streams->listening, (struct sockaddr *)&bound, &length);
    return ntohs(bound.sin6_port);  // at the same place in both families
}

// MARK: Waiting

static int control(const streams_t *streams, int operation, int descriptor, uint64_t id, bool reads, bool writes) {
    struct epoll_event event = {.events = (reads ? EPOLLIN : 0) | (writes ? EPOLLOUT : 0), .data.u64 = id};
    return epoll_ctl(streams->epoll, operation, descriptor, &event);
}

bool streams_add(const streams_t *streams, int descriptor, uint64_t id, bool reads, bool writes) {
    return control(streams, EPOLL_CTL_ADD, descriptor, id, reads, writes) == 0;
}

void streams_change(const streams_t *streams, int descriptor, uint64_t id, bool reads, bool writes) {
    control(streams, EPOLL_CTL_MOD, descriptor, id, reads, writes);
}

void streams_listen(const streams_t *streams, bool listens) {
    streams_change(streams, streams->listening, stream_listening, listens, false);
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

// MARK: Connections

static void write_address(const struct sockaddr_storage *address, char *text, size_t capacity) {
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    bool is_mapped = address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
    if (address->ss_family == AF_INET6 && !is_mapped) {
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(text, capacity, "[%s]:%u", host, ntohs(in6->sin6_port));
        return;
    }
    inet_ntop(AF_INET, is_mapped ? (const void *)&in6->sin6_addr.s6_addr[12] : &in4->sin_addr, host, sizeof host);
    snprintf(text, capacity, "%s:%u", host, ntohs(in4->sin_port));
}

int streams_accept(const streams_t *streams, char *text, size_t capacity) {
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    int on = 1;
    int accepted = accept4(streams->listening, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return stream_no_descriptor;
        return errno == EAGAIN || errno == EWOULDBLOCK ? stream_nothing : stream_failed;
    }
    // Answers gather in one write as it is.
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    write_address(&address, text, capacity);
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

void stream_finish(int descriptor) { shutdown(descriptor, SHUT_WR); }
