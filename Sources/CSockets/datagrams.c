// One UDP socket: datagrams cross into the kernel and back in batches, and answers leave from the address that was asked.
#include "CSockets.h"

#include <errno.h>
#include <poll.h>
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
} ring_t;

struct datagrams {
    int socket;
    int sent, gathered;
    ring_t received, sending;
    uint8_t bytes[];
};

static void prepare(ring_t *ring, uint8_t *bytes, size_t longest) {
    for (int place = 0; place < datagrams_batch; place++) {
        ring->vectors[place] = (struct iovec){.iov_base = bytes + place * longest, .iov_len = longest};
        ring->headers[place].msg_hdr = (struct msghdr){
            .msg_name = &ring->paths[place].peer, .msg_iov = &ring->vectors[place], .msg_iovlen = 1,
            .msg_control = ring->controls[place]};
    }
}

int datagrams_open(const char *host, uint16_t *port, int buffer_bytes, size_t longest, datagrams_t **opened) {
    // Of room for long datagrams there is in memory what was ever written to.
    datagrams_t *made = calloc(1, sizeof *made + datagrams_batch * (datagrams_longest + longest));
    int reason = made ? sockets_bind(host, *port, SOCK_DGRAM, &made->socket) : ENOMEM, on = 1;
    if (reason) {
        free(made);
        return reason;
    }
    setsockopt(made->socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    setsockopt(made->socket, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    setsockopt(made->socket, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    setsockopt(made->socket, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    prepare(&made->sending, made->bytes, datagrams_longest);
    prepare(&made->received, made->bytes + datagrams_batch * datagrams_longest, longest);
    *port = sockets_port(made->socket);
    *opened = made;
    return 0;
}

void datagrams_close(datagrams_t *datagrams) {
    struct pollfd writable = {.fd = datagrams->socket, .events = POLLOUT};
    if (!datagrams_flush(datagrams) && poll(&writable, 1, patience) == 1) datagrams_flush(datagrams);
    close(datagrams->socket);
    free(datagrams);
}

int datagrams_wait(const datagrams_t *datagrams, int wake_descriptor, int timeout) {
    struct pollfd descriptors[] = {
        {.fd = datagrams->socket, .events = POLLIN}, {.fd = wake_descriptor, .events = POLLIN}};
    if (poll(descriptors, 2, timeout) <= 0) return 0;
    return (descriptors[0].revents ? datagrams_readable : 0) | (descriptors[1].revents ? datagrams_woken : 0);
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
        .bytes = ring->vectors[place].iov_base, .length = header->msg_len, .path = &ring->paths[place],
        .is_for_us = take_destination(&header->msg_hdr, &ring->paths[place]),
        .is_whole = !(header->msg_hdr.msg_flags & MSG_TRUNC)};
}

// MARK: Sending

uint8_t *datagrams_room(datagrams_t *datagrams) {
    if (datagrams->gathered == datagrams_batch && !datagrams_flush(datagrams)) return NULL;
    return datagrams->sending.vectors[datagrams->gathered].iov_base;
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
        if (count < 0 && (errno == EAGAIN || errno == ENOBUFS)) return false;
        if (count < 0 && errno == EINTR) continue;
        // What became of an earlier one; this one has not been tried.
        is_second_try = count < 0 && errno == ECONNREFUSED && !is_second_try;
        // One that can't be sent is the same as one that is lost on the way.
        if (!is_second_try) datagrams->sent += count > 0 ? count : 1;
    }
    datagrams->sent = datagrams->gathered = 0;
    return true;
}
