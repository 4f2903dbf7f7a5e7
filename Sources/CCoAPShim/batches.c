// Datagrams cross into the kernel and back in batches.
//
// libcoap 4.3.1 calls recvmsg and sendmsg once for each datagram, and at many thousand a second entering the kernel is a
// good part of all that is done. Its calls are bound through the dynamic symbol table, so the executable's functions of
// these names are called in their stead:
//
//   recvmsg   gives out what one recvmmsg has read, when the socket is one of those that the thread serves
//   sendmsg   takes a copy; one sendmmsg sends all that has gathered
//
// Everybody else's calls, those of other threads, and those for other sockets go straight on. Nothing is lost between:
// libcoap is told to read exactly as often as there are datagrams, and whoever serves sends what has gathered before it
// waits. `coap_shim_batches_work` proves at start-up that this holds; where it does not, libcoap's calls stay single.
//
// The sockets of one thread share one address and port, so any of them can send for all: replies find their way by the
// address alone. One sends until its buffer is full, then the next.
#include "CCoAPShim.h"
#include "guard.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/// Datagrams in a batch; bytes libcoap reads of one; bytes of what IP_PKTINFO and IPV6_PKTINFO say.
enum { depth = 64, room = 1472, control_room = 96 };
/// Milliseconds.
enum { patience = 20 };

typedef struct {
    struct mmsghdr headers[depth];
    struct iovec vectors[depth];
    struct sockaddr_in6 names[depth];
    _Alignas(struct cmsghdr) uint8_t controls[depth][control_room];
    uint8_t bytes[depth][room];
} ring_t;

typedef struct {
    int sockets[64];
    int socket_count;
    /// The socket that `received` was read from while libcoap takes it in, else -1.
    int reading;
    /// Places in `received`: what libcoap is to have, in order, and how much of it libcoap has taken.
    uint8_t wanted[depth];
    int wanted_count, taken;
    /// What is to be sent: from `sent` to `gathered`.
    int sent, gathered;
    /// The place in `sockets` of the one that sends.
    int sender;
    ring_t received, sending;
} batches_t;

static __thread batches_t *batches;

static ssize_t (*real_recvmsg)(int, struct msghdr *, int);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);

__attribute__((constructor)) static void find_originals(void) {
    real_recvmsg = (ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
    real_sendmsg = (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
}

// MARK: Receiving

static size_t smaller(size_t one, size_t other) { return one < other ? one : other; }

/// The next datagram of the batch.
static ssize_t take(batches_t *own, struct msghdr *message) {
    if (own->taken == own->wanted_count) {
        errno = EAGAIN;
        return -1;
    }
    int place = own->wanted[own->taken++];
    const struct mmsghdr *header = &own->received.headers[place];
    if (message->msg_name) memcpy(message->msg_name, header->msg_hdr.msg_name,
        smaller(message->msg_namelen, header->msg_hdr.msg_namelen));
    message->msg_namelen = header->msg_hdr.msg_namelen;
    message->msg_controllen = smaller(message->msg_controllen, header->msg_hdr.msg_controllen);
    if (message->msg_controllen) memcpy(message->msg_control, header->msg_hdr.msg_control, message->msg_controllen);
    message->msg_flags = header->msg_hdr.msg_flags;
    size_t copied = 0;
    for (size_t index = 0; index < message->msg_iovlen && copied < header->msg_len; index++) {
        size_t part = smaller(message->msg_iov[index].iov_len, header->msg_len - copied);
        memcpy(message->msg_iov[index].iov_base, own->received.bytes[place] + copied, part);
        copied += part;
    }
    if (copied < header->msg_len) message->msg_flags |= MSG_TRUNC;
    return (ssize_t)copied;
}

__attribute__((visibility("default"))) ssize_t recvmsg(int descriptor, struct msghdr *message, int flags) {
    if (batches && batches->reading == descriptor && flags == 0) return take(batches, message);
    return real_recvmsg(descriptor, message, flags);
}

/// Reads as many datagrams as there are and fit.
static int fill(batches_t *own, int descriptor) {
    ring_t *ring = &own->received;
    for (int place = 0; place < depth; place++) {
        ring->headers[place].msg_hdr.msg_namelen = sizeof ring->names[place];
        ring->headers[place].msg_hdr.msg_controllen = control_room;
    }
    return recvmmsg(descriptor, ring->headers, depth, MSG_DONTWAIT, NULL);
}

int coap_shim_pump_batch(
    coap_context_t *idle_context, const coap_shim_socket_t *socket, const coap_shim_guard_t *guard) {
    batches_t *own = batches;
    if (!own) return 0;
    int count = fill(own, socket->descriptor);
    own->taken = own->wanted_count = 0;
    struct epoll_event events[depth];
    for (int place = 0; place < count; place++) {
        const struct mmsghdr *header = &own->received.headers[place];
        const uint8_t *bytes = own->received.bytes[place];
        if (!coap_shim_is_for_us(&header->msg_hdr)) continue;
        if (guard && !coap_shim_guard_admits(guard, socket->descriptor, &header->msg_hdr, bytes, header->msg_len))
            continue;
        // libcoap reads one datagram for each event.
        events[own->wanted_count] = (struct epoll_event){.events = EPOLLIN, .data.ptr = socket->event_pointer};
        own->wanted[own->wanted_count++] = (uint8_t)place;
    }
    own->reading = socket->descriptor;
    if (own->wanted_count > 0) coap_io_do_epoll(idle_context, events, (size_t)own->wanted_count);
    own->reading = -1;
    return count < 0 ? 0 : count;
}

// MARK: Sending

static bool is_ours(const batches_t *own, int descriptor) {
    for (int index = 0; index < own->socket_count; index++)
        if (own->sockets[index] == descriptor) return true;
    return false;
}

/// Copies a datagram behind those that have gathered; false when it does not fit.
static bool gather(batches_t *own, const struct msghdr *message) {
    int place = own->gathered;
    size_t length = 0;
    for (size_t index = 0; index < message->msg_iovlen; index++) length += message->msg_iov[index].iov_len;
    if (length > room || message->msg_namelen > sizeof own->sending.names[place] ||
        message->msg_controllen > control_room)
        return false;
    struct msghdr *header = &own->sending.headers[place].msg_hdr;
    header->msg_namelen = message->msg_namelen;
    memcpy(&own->sending.names[place], message->msg_name, message->msg_namelen);
    header->msg_controllen = message->msg_controllen;
    if (message->msg_controllen) memcpy(own->sending.controls[place], message->msg_control, message->msg_controllen);
    own->sending.vectors[place].iov_len = length;
    uint8_t *end = own->sending.bytes[place];
    for (size_t index = 0; index < message->msg_iovlen; index++) {
        memcpy(end, message->msg_iov[index].iov_base, message->msg_iov[index].iov_len);
        end += message->msg_iov[index].iov_len;
    }
    own->gathered++;
    return true;
}

bool coap_shim_flush(void) {
    batches_t *own = batches;
    if (!own) return true;
    bool is_second_try = false;
    int full = 0;
    while (own->sent < own->gathered) {
        int count = sendmmsg(
            own->sockets[own->sender], own->sending.headers + own->sent, (unsigned)(own->gathered - own->sent), MSG_DONTWAIT);
        if (count > 0) {
            own->sent += count;
            is_second_try = false;
            full = 0;
        } else if (errno == EAGAIN) {
            // Each socket has a buffer of its own.
            if (++full == own->socket_count) return false;
            own->sender = (own->sender + 1) % own->socket_count;
        } else if (errno == ECONNREFUSED && !is_second_try) {
            // What became of an earlier one; this one has not been tried.
            is_second_try = true;
        } else if (errno != EINTR) {
            // It can't be sent: the same as one that is lost on the way. libcoap would not have tried it again either.
            own->sent++;
            is_second_try = false;
        }
    }
    own->sent = own->gathered = 0;
    return true;
}

/// The same, with a moment for the network to take some of what is there: what libcoap can't send now it does not keep.
static bool flush_patiently(batches_t *own) {
    if (coap_shim_flush()) return true;
    struct pollfd writable = {.fd = own->sockets[own->sender], .events = POLLOUT};
    return poll(&writable, 1, patience) == 1 && coap_shim_flush();
}

__attribute__((visibility("default"))) ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    batches_t *own = batches;
    if (!own || flags != 0 || !message->msg_name || !is_ours(own, descriptor))
        return real_sendmsg(descriptor, message, flags);
    if (own->gathered == depth && !flush_patiently(own)) {
        // What sendmsg would have said.
        errno = EAGAIN;
        return -1;
    }
    if (gather(own, message)) return (ssize_t)own->sending.vectors[own->gathered - 1].iov_len;
    // In its turn.
    if (!flush_patiently(own)) {
        errno = EAGAIN;
        return -1;
    }
    return real_sendmsg(descriptor, message, flags);
}

// MARK: Beginning and end

static void prepare(ring_t *ring) {
    for (int place = 0; place < depth; place++) {
        ring->vectors[place] = (struct iovec){.iov_base = ring->bytes[place], .iov_len = room};
        ring->headers[place].msg_hdr = (struct msghdr){
            .msg_name = &ring->names[place], .msg_iov = &ring->vectors[place], .msg_iovlen = 1,
            .msg_control = ring->controls[place]};
    }
}

bool coap_shim_batches_begin(const int *sockets, int count) {
    if (batches || count < 1 || count > 64) return false;
    batches = calloc(1, sizeof *batches);
    if (!batches) return false;
    memcpy(batches->sockets, sockets, (size_t)count * sizeof *sockets);
    batches->socket_count = count;
    batches->reading = -1;
    prepare(&batches->received);
    prepare(&batches->sending);
    return true;
}

void coap_shim_batches_end(void) {
    if (batches) flush_patiently(batches);
    free(batches);
    batches = NULL;
}

// MARK: The check: libcoap answers requests with 4.04; all are read before it is called, all answers sent afterwards.

enum { check_count = 3 };

/// The Message IDs of the answers that have come.
static int answers_at(int peer, uint8_t *message_ids) {
    uint8_t datagram[64];
    int count = 0;
    while (count < check_count && recv(peer, datagram, sizeof datagram, MSG_DONTWAIT) >= 4)
        message_ids[count++] = datagram[3];
    return count;
}

static bool check_exchange(coap_context_t *idle_context, const coap_shim_socket_t *served, int peer) {
    for (uint8_t number = 0; number < check_count; number++) {
        uint8_t request[4] = {0x40, 1, 0x10, number};
        if (send(peer, request, sizeof request, 0) != sizeof request) return false;
    }
    if (!coap_shim_batches_begin(&served->descriptor, 1)) return false;
    struct pollfd readable = {.fd = served->descriptor, .events = POLLIN};
    int count = 0;
    // On a machine that spreads the work of its network they may come one after the other.
    while (count < check_count && poll(&readable, 1, 500) == 1) count += coap_shim_pump_batch(idle_context, served, NULL);
    uint8_t early[check_count], message_ids[check_count];
    bool works = count == check_count && batches->gathered == check_count && answers_at(peer, early) == 0;
    coap_shim_batches_end();
    if (!works || answers_at(peer, message_ids) != check_count) return false;
    for (uint8_t number = 0; number < check_count; number++)
        if (message_ids[number] != number) return false;
    return true;
}

bool coap_shim_batches_work(void) {
    if (!real_recvmsg || !real_sendmsg || batches) return false;
    coap_context_t *idle_context = coap_new_context(NULL), *context = coap_new_context(NULL);
    coap_shim_socket_t served;
    int peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool works = false;
    if (idle_context && context && peer >= 0 &&
        coap_shim_open_datagrams(context, false, "127.0.0.1", 0, false, 65536, &served) == 0) {
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons(served.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        works = connect(peer, (struct sockaddr *)&address, sizeof address) == 0 &&
                check_exchange(idle_context, &served, peer);
    }
    if (peer >= 0) close(peer);
    if (context) coap_free_context(context);
    if (idle_context) coap_free_context(idle_context);
    return works;
}
