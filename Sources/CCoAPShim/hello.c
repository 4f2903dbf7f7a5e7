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
#include "guard.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

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

enum { record_header = 13, handshake_header = 12 };

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

bool coap_shim_door_init(coap_shim_door_t *door) { return coap_shim_choose_secret(door->secret); }

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
    if (hello.cookie_length == cookie_length && coap_shim_is_cookie(door->secret, peer, hello.cookie, cookie_length))
        return door->proven(door->app, peer, hello.random);
    uint8_t cookie[cookie_length];
    coap_shim_make_cookie(door->secret, peer, cookie);
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
