// One UDP socket: datagrams cross into the kernel and back in batches, and answers leave from the address that was asked.
#include "CSockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/// Bytes of what IP_PKTINFO and IPV6_PKTINFO say, both of which come where IPv6's socket is reached over IPv4.
enum { control_room = CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) };
/// Milliseconds the network is given to take what is left in the end.
enum { patience = 20 };

typedef struct {
    struct mmsghdr headers[datagrams_batch];
    struct iovec vectors[datagrams_batch];
    datagram_path_t paths[datagrams_batch];
    _Alignas(struct cmsghdr) uint8_t controls[datagrams_batch][control_room];
    uint8_t bytes[datagrams_batch][datagrams_longest];
} ring_t;

struct datagrams {
    int socket;
    int sent, gathered;
    ring_t received, sending;
};

static void prepare(ring_t *ring) {
    for (int place = 0; place < datagrams_batch; place++) {
        ring->vectors[place] = (struct iovec){.iov_base = ring->bytes[place], .iov_len = datagrams_longest};
        ring->headers[place].msg_hdr = (struct msghdr){
            .msg_name = &ring->paths[place].peer, .msg_iov = &ring->vectors[place], .msg_iovlen = 1,
            .msg_control = ring->controls[place]};
    }
}

static int bind_socket(const struct addrinfo *where, int buffer_bytes, int *descriptor) {
    int made = socket(where->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0;
    if (made < 0) return errno;
    if (where->ai_family == AF_INET6) {
        setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        setsockopt(made, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    }
    setsockopt(made, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    setsockopt(made, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    setsockopt(made, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    if (bind(made, where->ai_addr, where->ai_addrlen) != 0) {
        int reason = errno;
        close(made);
        return reason;
    }
    *descriptor = made;
    return 0;
}

int datagrams_open(const char *host, uint16_t port, int buffer_bytes, datagrams_t **opened) {
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM}, *where = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(host, service, &hints, &where);
    if (failed) return failed > 0 ? -failed : failed;
    datagrams_t *made = calloc(1, sizeof *made);
    int reason = made ? bind_socket(where, buffer_bytes, &made->socket) : ENOMEM;
    freeaddrinfo(where);
    if (reason) {
        free(made);
        return reason;
    }
    prepare(&made->received);
    prepare(&made->sending);
    *opened = made;
    return 0;
}

void datagrams_close(datagrams_t *datagrams) {
    struct pollfd writable = {.fd = datagrams->socket, .events = POLLOUT};
    if (!datagrams_flush(datagrams) && poll(&writable, 1, patience) == 1) datagrams_flush(datagrams);
    close(datagrams->socket);
    free(datagrams);
}

uint16_t datagrams_port(const datagrams_t *datagrams) {
    struct sockaddr_in6 bound = {0};
    socklen_t length = sizeof bound;
    getsockname(datagrams->socket, (struct sockaddr *)&bound, &length);
    // At the same place in both families.
    return ntohs(bound.sin6_port);
}

bool datagrams_wait(const datagrams_t *datagrams, int wake_descriptor, int timeout) {
    struct pollfd descriptors[] = {
        {.fd = datagrams->socket, .events = POLLIN}, {.fd = wake_descriptor, .events = POLLIN}};
    if (poll(descriptors, 2, timeout) <= 0) return false;
    if (descriptors[1].revents) sockets_wake_clear(wake_descriptor);
    return descriptors[0].revents != 0;
}

// MARK: Receiving

int datagrams_read(datagrams_t *datagrams) {
    ring_t *ring = &datagrams->received;
    for (int place = 0; place < datagrams_batch; place++) {
        ring->headers[place].msg_hdr.msg_namelen = sizeof ring->paths[place].peer;
        ring->headers[place].msg_hdr.msg_controllen = control_room;
    }
    int count = recvmmsg(datagrams->socket, ring->headers, datagrams_batch, MSG_DONTWAIT, NULL);
    return count < 0 ? 0 : count;
}

/// Notes which of our addresses a datagram came to; false when it was sent to others, too.
static bool take_destination(struct msghdr *message, datagram_path_t *path) {
    bool is_for_us = true;
    path->local = in6addr_any;
    path->interface = 0;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo destination;
            memcpy(&destination, CMSG_DATA(control), sizeof destination);
            // The header's destination, and the address of ours that it came to.
            if (destination.ipi_addr.s_addr != destination.ipi_spec_dst.s_addr) is_for_us = false;
            if (path->peer.sin6_family == AF_INET)
                memcpy(&path->local, &destination.ipi_spec_dst, sizeof destination.ipi_spec_dst);
        }
        if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo destination;
            memcpy(&destination, CMSG_DATA(control), sizeof destination);
            if (IN6_IS_ADDR_MULTICAST(&destination.ipi6_addr)) is_for_us = false;
            path->local = destination.ipi6_addr;
            if (IN6_IS_ADDR_LINKLOCAL(&destination.ipi6_addr)) path->interface = destination.ipi6_ifindex;
        }
    }
    return is_for_us;
}

datagram_t datagrams_at(datagrams_t *datagrams, int place) {
    ring_t *ring = &datagrams->received;
    struct mmsghdr *header = &ring->headers[place];
    return (datagram_t){
        .bytes = ring->bytes[place], .length = header->msg_len, .path = &ring->paths[place],
        .is_for_us = take_destination(&header->msg_hdr, &ring->paths[place]),
        .is_whole = !(header->msg_hdr.msg_flags & MSG_TRUNC)};
}

// MARK: Sending

uint8_t *datagrams_room(datagrams_t *datagrams) {
    if (datagrams->gathered == datagrams_batch && !datagrams_flush(datagrams)) return NULL;
    return datagrams->sending.bytes[datagrams->gathered];
}

/// Says which of our addresses a datagram is to leave from.
static void put_source(struct msghdr *message, const datagram_path_t *path) {
    struct cmsghdr *control = message->msg_control;
    if (path->peer.sin6_family == AF_INET6) {
        struct in6_pktinfo source = {.ipi6_addr = path->local, .ipi6_ifindex = path->interface};
        *control = (struct cmsghdr){
            .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO, .cmsg_len = CMSG_LEN(sizeof source)};
        memcpy(CMSG_DATA(control), &source, sizeof source);
        message->msg_controllen = CMSG_SPACE(sizeof source);
        message->msg_namelen = sizeof(struct sockaddr_in6);
    } else {
        struct in_pktinfo source = {0};
        memcpy(&source.ipi_spec_dst, &path->local, sizeof source.ipi_spec_dst);
        *control = (struct cmsghdr){
            .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof source)};
        memcpy(CMSG_DATA(control), &source, sizeof source);
        message->msg_controllen = CMSG_SPACE(sizeof source);
        message->msg_namelen = sizeof(struct sockaddr_in);
    }
}

void datagrams_add(datagrams_t *datagrams, size_t length, const datagram_path_t *path) {
    int place = datagrams->gathered++;
    ring_t *ring = &datagrams->sending;
    ring->paths[place] = *path;
    ring->vectors[place].iov_len = length;
    put_source(&ring->headers[place].msg_hdr, path);
}

bool datagrams_flush(datagrams_t *datagrams) {
    bool is_second_try = false;
    while (datagrams->sent < datagrams->gathered) {
        int count = sendmmsg(
            datagrams->socket, datagrams->sending.headers + datagrams->sent,
            (unsigned)(datagrams->gathered - datagrams->sent), MSG_DONTWAIT);
        if (count > 0) {
            datagrams->sent += count;
            is_second_try = false;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            return false;
        } else if (errno == ECONNREFUSED && !is_second_try) {
            // What became of an earlier one; this one has not been tried.
            is_second_try = true;
        } else if (errno != EINTR) {
            // It can't be sent: the same as one that is lost on the way.
            datagrams->sent++;
            is_second_try = false;
        }
    }
    datagrams->sent = datagrams->gathered = 0;
    return true;
}

int datagrams_text(const datagram_path_t *path, char *text, size_t capacity) {
    char address[INET6_ADDRSTRLEN];
    if (path->peer.sin6_family == AF_INET6) {
        inet_ntop(AF_INET6, &path->peer.sin6_addr, address, sizeof address);
        return snprintf(text, capacity, "[%s]:%u", address, ntohs(path->peer.sin6_port));
    }
    const struct sockaddr_in *peer = (const struct sockaddr_in *)&path->peer;
    inet_ntop(AF_INET, &peer->sin_addr, address, sizeof address);
    return snprintf(text, capacity, "%s:%u", address, ntohs(peer->sin_port));
}
