// Messages cross a connection whole, wherever it cuts them.
//
// libcoap 4.3.1 loses its place in a connection in two ways. Where what has come ends after two or more bytes of a message's
// header but before its end (RFC 8323 §3.2), it forgets that it has them, and takes what follows for another header. And
// where TLS takes in only the first part of a message, as it does beyond 16 kB, or less if the peer wants smaller records
// (RFC 8446 §5.1, RFC 8449), it never goes on, or goes on from the wrong place in its memory.
//
// libcoap's calls are bound through the dynamic symbol table, so the executable's functions of these names are called in
// their stead:
//
//   accept               begins anew for a connection
//   recv                 keeps a header back until it is whole
//   gnutls_record_recv   the same for TLS, where recv has what is encrypted
//   gnutls_record_send   sends record after record until the message is through, or the network takes no more; libcoap
//                        comes again with the same message then
//   gnutls_deinit        forgets a TLS session
//
// Those of other threads go straight on. `coap_shim_connections_hooks_work` says whether libcoap's calls come here; where
// they don't, libcoap is as it is. GnuTLS's functions are looked up: see `certificate.c`.
#include "CCoAPShim.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { again = -28, interrupted = -52 };  // GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED
enum { longest_header = 6 };

/// Where a connection is.
typedef struct {
    /// Bytes still to come of the message that is being read, its header not counted.
    size_t left;
    /// Bytes that TLS has taken of the message that is being sent.
    size_t sent;
    /// The beginning of a header.
    uint8_t held[longest_header];
    uint8_t held_count;
} place_t;

static __thread enum { nothing, plain, encrypted } served;
/// By descriptor, of connections in the clear.
static __thread place_t *places;
static __thread int place_count;
/// Something was kept back though there may be more to read that no event will tell of.
static __thread bool has_more;

static int (*real_accept)(int, struct sockaddr *, socklen_t *);
static ssize_t (*real_recv)(int, void *, size_t, int);
static ssize_t (*real_record_recv)(void *, void *, size_t);
static ssize_t (*real_record_send)(void *, const void *, size_t);
static void (*real_deinit)(void *);
static void *(*session_get_ptr)(void *);
static void (*session_set_ptr)(void *, void *);

ssize_t gnutls_record_recv(void *session, void *data, size_t size);
ssize_t gnutls_record_send(void *session, const void *data, size_t size);
void gnutls_deinit(void *session);

__attribute__((constructor)) static void find_originals(void) {
    real_accept = (int (*)(int, struct sockaddr *, socklen_t *))dlsym(RTLD_NEXT, "accept");
    real_recv = (ssize_t(*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
    real_record_recv = (ssize_t(*)(void *, void *, size_t))dlsym(RTLD_NEXT, "gnutls_record_recv");
    real_record_send = (ssize_t(*)(void *, const void *, size_t))dlsym(RTLD_NEXT, "gnutls_record_send");
    real_deinit = (void (*)(void *))dlsym(RTLD_NEXT, "gnutls_deinit");
    session_get_ptr = (void *(*)(void *))dlsym(RTLD_DEFAULT, "gnutls_session_get_ptr");
    session_set_ptr = (void (*)(void *, void *))dlsym(RTLD_DEFAULT, "gnutls_session_set_ptr");
}

bool coap_shim_connections_hooks_work(void) {
    return real_accept && real_recv && real_record_recv && real_record_send && real_deinit && session_get_ptr &&
           session_set_ptr && dlsym(RTLD_DEFAULT, "accept") == (void *)accept &&
           dlsym(RTLD_DEFAULT, "recv") == (void *)recv &&
           dlsym(RTLD_DEFAULT, "gnutls_record_recv") == (void *)gnutls_record_recv &&
           dlsym(RTLD_DEFAULT, "gnutls_record_send") == (void *)gnutls_record_send &&
           dlsym(RTLD_DEFAULT, "gnutls_deinit") == (void *)gnutls_deinit;
}

void coap_shim_connections_begin(bool is_encrypted) { served = is_encrypted ? encrypted : plain; }

void coap_shim_connections_end(void) {
    served = nothing;
    free(places);
    places = NULL;
    place_count = 0;
}

bool coap_shim_connections_have_more(void) {
    bool had_more = has_more;
    has_more = false;
    return had_more;
}

// MARK: Reading

/// Bytes of the header, the code included, that begins with this one (RFC 8323 §3.2).
static size_t header_length(uint8_t first) {
    static const uint8_t extended[] = {3, 4, 6};
    return first >> 4 < 13 ? 2 : extended[(first >> 4) - 13];
}

/// Bytes of the message after its header: token, options, payload.
static size_t rest_length(const uint8_t *header) {
    size_t length = header[0] >> 4, token_length = header[0] & 15;
    switch (length) {
    case 13: return token_length + 13 + (size_t)header[1];
    case 14: return token_length + 269 + ((size_t)header[1] << 8 | header[2]);
    case 15:
        length = (size_t)header[1] << 24 | (size_t)header[2] << 16 | (size_t)header[3] << 8 | header[4];
        return token_length + 65805 + length;
    default: return token_length + length;
    }
}

/// Takes what has come as far as whole headers reach, and keeps the rest back.
static size_t advance(place_t *place, const uint8_t *bytes, size_t count) {
    size_t at = 0;
    while (at < count) {
        if (place->left > 0) {
            size_t part = place->left < count - at ? place->left : count - at;
            place->left -= part;
            at += part;
            continue;
        }
        size_t header = header_length(bytes[at]);
        if (count - at < header) break;
        place->left = rest_length(bytes + at);
        at += header;
    }
    place->held_count = (uint8_t)(count - at);
    memcpy(place->held, bytes + at, place->held_count);
    return at;
}

/// Puts what was kept back before; there is room for it and more.
static size_t put_held(const place_t *place, uint8_t *bytes, size_t size) {
    if (size <= longest_header) return 0;
    memcpy(bytes, place->held, place->held_count);
    return place->held_count;
}

__attribute__((visibility("default"))) int accept(int listening, struct sockaddr *address, socklen_t *length) {
    int descriptor = real_accept(listening, address, length);
    if (served != plain || descriptor < 0) return descriptor;
    if (descriptor >= place_count) {
        int count = (descriptor + 1) * 2;
        place_t *more = realloc(places, (size_t)count * sizeof *places);
        // One that is not known is read as libcoap would.
        if (!more) return descriptor;
        memset(more + place_count, 0, (size_t)(count - place_count) * sizeof *places);
        places = more;
        place_count = count;
    }
    places[descriptor] = (place_t){0};
    return descriptor;
}

__attribute__((visibility("default"))) ssize_t recv(int descriptor, void *data, size_t size, int flags) {
    if (served != plain || flags != 0 || descriptor >= place_count || size <= longest_header)
        return real_recv(descriptor, data, size, flags);
    place_t *place = &places[descriptor];
    size_t held = put_held(place, data, size);
    ssize_t count = real_recv(descriptor, (uint8_t *)data + held, size - held, 0);
    if (count <= 0) return count;
    size_t whole = advance(place, data, held + (size_t)count);
    if (whole == 0) {
        errno = EAGAIN;
        return -1;
    }
    return (ssize_t)whole;
}

// MARK: TLS

/// NULL where there is no memory.
static place_t *place_of(void *session) {
    place_t *place = session_get_ptr(session);
    if (!place && (place = calloc(1, sizeof *place))) session_set_ptr(session, place);
    return place;
}

__attribute__((visibility("default"))) ssize_t gnutls_record_recv(void *session, void *data, size_t size) {
    place_t *place = served == encrypted && size > longest_header ? place_of(session) : NULL;
    if (!place) return real_record_recv(session, data, size);
    size_t held = put_held(place, data, size);
    ssize_t count = real_record_recv(session, (uint8_t *)data + held, size - held);
    if (count <= 0) return count;
    size_t whole = advance(place, data, held + (size_t)count);
    // libcoap reads on when its buffer was filled, and else leaves what GnuTLS has decrypted until something comes.
    if (place->held_count > 0 && held + (size_t)count == size) has_more = true;
    return whole == 0 ? again : (ssize_t)whole;
}

__attribute__((visibility("default"))) ssize_t gnutls_record_send(void *session, const void *data, size_t size) {
    place_t *place = served == encrypted ? place_of(session) : NULL;
    if (!place) return real_record_send(session, data, size);
    while (place->sent < size) {
        ssize_t count = real_record_send(session, (const uint8_t *)data + place->sent, size - place->sent);
        if (count == interrupted) continue;
        if (count == again) return again;
        if (count <= 0) {
            place->sent = 0;
            return count;
        }
        place->sent += (size_t)count;
    }
    place->sent = 0;
    return (ssize_t)size;
}

__attribute__((visibility("default"))) void gnutls_deinit(void *session) {
    if (served == encrypted && session) free(session_get_ptr(session));
    real_deinit(session);
}
