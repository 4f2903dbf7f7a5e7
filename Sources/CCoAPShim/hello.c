// The door of a DTLS listener (RFC 6347 §4.2.1, §4.2.8).
//
// libcoap 4.3.1 makes a session for each ClientHello before it knows that the sender can be reached, so that a hundred
// spoofed ones lock everybody else out for half a minute; and it never lets a device that has lost its state in again
// from the same address and port, as the old session stands in the way.
//
// So each datagram is looked at before libcoap reads it. A ClientHello without a cookie of ours is answered with
// HelloVerifyRequest, and nothing is remembered. One with a cookie has proven to come from its address: it goes to
// libcoap, which is told through `gnutls_dtls_cookie_verify` that there is nothing left to prove, and the old session, if
// there is one, is ended first. That function is GnuTLS's; the executable's stands before it, as with the other hooks.
#include "CCoAPShim.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

// GnuTLS's gnutls_dtls_prestate_st and gnutls_datum_t, part of its stable interface.
typedef struct {
    unsigned record_seq, hsk_read_seq, hsk_write_seq;
} prestate_t;
typedef struct {
    unsigned char *data;
    unsigned size;
} datum_t;

int gnutls_dtls_cookie_verify(
    datum_t *key, void *client, size_t client_size, void *message, size_t size, prestate_t *prestate);

enum { record_header = 13, handshake_header = 12, cookie_length = 16, seconds_per_slot = 60 };

static __thread bool is_proven;
static int (*real_cookie_verify)(datum_t *, void *, size_t, void *, size_t, prestate_t *);

__attribute__((constructor)) static void find_original(void) {
    real_cookie_verify = (int (*)(datum_t *, void *, size_t, void *, size_t, prestate_t *))dlsym(
        RTLD_NEXT, "gnutls_dtls_cookie_verify");
}

__attribute__((visibility("default"))) int gnutls_dtls_cookie_verify(
    datum_t *key, void *client, size_t client_size, void *message, size_t size, prestate_t *prestate) {
    if (!is_proven) return real_cookie_verify(key, client, client_size, message, size, prestate);
    const uint8_t *bytes = message;
    prestate->record_seq = bytes[10];
    prestate->hsk_read_seq = bytes[record_header + 5];
    prestate->hsk_write_seq = 0;
    return 0;
}

bool coap_shim_hello_hook_works(void) {
    // What libcoap's call is bound to is what a search from the executable on finds first.
    return real_cookie_verify && dlsym(RTLD_DEFAULT, "gnutls_dtls_cookie_verify") == (void *)gnutls_dtls_cookie_verify;
}

// MARK: Cookies: SipHash-2-4 of the peer's address and the time

static uint64_t rotated(uint64_t value, int bits) { return value << bits | value >> (64 - bits); }

static void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[1] = rotated(v[1], 13) ^ v[0], v[0] = rotated(v[0], 32);
    v[2] += v[3], v[3] = rotated(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotated(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotated(v[1], 17) ^ v[2], v[2] = rotated(v[2], 32);
}

static uint64_t sip_hash(const uint64_t key[2], const uint64_t *words, int count) {
    uint64_t v[4] = {
        key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
        key[1] ^ 0x7465646279746573};
    for (int index = 0; index <= count; index++) {
        uint64_t word = index < count ? words[index] : (uint64_t)count << 59;
        v[3] ^= word;
        sip_round(v), sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    sip_round(v), sip_round(v), sip_round(v), sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t slot_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec / seconds_per_slot;
}

static void make_cookie(const coap_shim_door_t *door, coap_shim_peer_t peer, uint64_t slot, uint8_t *cookie) {
    for (uint64_t half = 0; half < 2; half++) {
        uint64_t words[] = {peer.high, peer.low, peer.port, slot << 1 | half};
        uint64_t hash = sip_hash(door->secret, words, 4);
        memcpy(cookie + half * 8, &hash, 8);
    }
}

static bool is_ours(const coap_shim_door_t *door, coap_shim_peer_t peer, const uint8_t *cookie) {
    uint64_t now = slot_now();
    for (uint64_t age = 0; age < 2; age++) {
        uint8_t expected[cookie_length], difference = 0;
        make_cookie(door, peer, now - age, expected);
        for (int index = 0; index < cookie_length; index++) difference |= expected[index] ^ cookie[index];
        if (difference == 0) return true;
    }
    return false;
}

bool coap_shim_door_init(coap_shim_door_t *door) {
    return getrandom(door->secret, sizeof door->secret, 0) == sizeof door->secret;
}

coap_shim_peer_t coap_shim_peer_of(const struct sockaddr *address) {
    coap_shim_peer_t peer = {0};
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        memcpy(&peer.high, in6->sin6_addr.s6_addr, 8);
        memcpy(&peer.low, in6->sin6_addr.s6_addr + 8, 8);
        peer.port = in6->sin6_port | (uint64_t)in6->sin6_scope_id << 16;
    } else if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
        peer.low = in4->sin_addr.s_addr;
        peer.port = in4->sin_port;
    }
    return peer;
}

coap_shim_peer_t coap_shim_peer_of_session(const coap_session_t *session) {
    return coap_shim_peer_of(&coap_session_get_addr_remote(session)->addr.sa);
}

// MARK: ClientHello

typedef struct {
    const uint8_t *cookie;
    size_t cookie_length;
    uint64_t random;
} hello_t;

/// Handshake in the clear that begins with ClientHello.
static bool is_hello(const uint8_t *bytes, size_t length) {
    return length > record_header + handshake_header && bytes[0] == 22 && bytes[3] == 0 && bytes[4] == 0 &&
           bytes[record_header] == 1;
}

/// False for one that is cut, broken or in fragments, none of which libcoap could make anything of.
static bool read_hello(const uint8_t *bytes, size_t length, hello_t *hello) {
    const uint8_t *handshake = bytes + record_header;
    size_t record = (size_t)bytes[11] << 8 | bytes[12];
    size_t whole = (size_t)handshake[1] << 16 | (size_t)handshake[2] << 8 | handshake[3];
    size_t part = (size_t)handshake[9] << 16 | (size_t)handshake[10] << 8 | handshake[11];
    if (record > length - record_header || part != whole || part + handshake_header > record) return false;
    const uint8_t *body = handshake + handshake_header, *end = body + part;
    const uint8_t *place = body + 2 + 32;
    if (place >= end) return false;
    memcpy(&hello->random, body + 2, 8);
    uint64_t more;
    memcpy(&more, body + 10, 8);
    hello->random ^= more;
    place += 1 + *place;  // Session ID
    if (place >= end) return false;
    hello->cookie_length = *place++;
    hello->cookie = place;
    return place + hello->cookie_length <= end;
}

static void send_hello_verify(int descriptor, struct msghdr *message, const uint8_t *hello, const uint8_t *cookie) {
    enum { body = 3 + cookie_length, total = record_header + handshake_header + body };
    uint8_t answer[total] = {22, 0xfe, 0xff};  // DTLS 1.0 whatever the version (RFC 6347 §4.2.1)
    memcpy(answer + 5, hello + 5, 6);          // the ClientHello's own sequence number
    answer[12] = handshake_header + body;
    uint8_t *handshake = answer + record_header;
    handshake[0] = 3;
    handshake[3] = handshake[11] = body;
    handshake[12] = 0xfe, handshake[13] = 0xff, handshake[14] = cookie_length;
    memcpy(handshake + 15, cookie, cookie_length);
    struct iovec vector = {.iov_base = answer, .iov_len = total};
    message->msg_iov = &vector;
    message->msg_iovlen = 1;
    message->msg_flags = 0;
    sendmsg(descriptor, message, MSG_DONTWAIT);
}

/// What is to become of the ClientHello that stands first in the socket.
static coap_shim_hello_t judge(
    const coap_shim_door_t *door, int descriptor, struct msghdr *message, const uint8_t *bytes, size_t length) {
    hello_t hello;
    if (!read_hello(bytes, length, &hello)) return COAP_SHIM_HELLO_DROP;
    coap_shim_peer_t peer = coap_shim_peer_of(message->msg_name);
    if (hello.cookie_length == cookie_length && is_ours(door, peer, hello.cookie))
        return door->proven(door->app, peer, hello.random);
    uint8_t cookie[cookie_length];
    make_cookie(door, peer, slot_now(), cookie);
    send_hello_verify(descriptor, message, bytes, cookie);
    return COAP_SHIM_HELLO_DROP;
}

int coap_shim_pump_dtls(
    coap_context_t *idle_context, const coap_shim_socket_t *socket, const coap_shim_door_t *door, int depth) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = socket->event_pointer};
    for (int count = 0; count < depth; count++) {
        uint8_t bytes[1500], control[128];
        struct sockaddr_storage from;
        struct iovec vector = {.iov_base = bytes, .iov_len = sizeof bytes};
        struct msghdr message = {
            .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1,
            .msg_control = control, .msg_controllen = sizeof control};
        ssize_t length = recvmsg(socket->descriptor, &message, MSG_PEEK | MSG_DONTWAIT);
        if (length < 0) return errno == EAGAIN ? count : count + 1;
        coap_shim_hello_t fate = COAP_SHIM_HELLO_PASS;
        if (is_hello(bytes, (size_t)length)) fate = judge(door, socket->descriptor, &message, bytes, (size_t)length);
        if (fate == COAP_SHIM_HELLO_LATER) return count;
        if (fate == COAP_SHIM_HELLO_DROP) {
            if (recv(socket->descriptor, bytes, 1, MSG_DONTWAIT) < 0) return count;
            continue;
        }
        is_proven = fate == COAP_SHIM_HELLO_PROVEN;
        coap_io_do_epoll(idle_context, &event, 1);
        is_proven = false;
    }
    return depth;
}
