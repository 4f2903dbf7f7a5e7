#pragma once
// What the CoAP gateway needs of C beyond libcoap's own functions, a file for each subject: `hooks.c` sees what libcoap
// keeps to itself, `hello.c` guards DTLS, with
// the cookies of `cookies.c`, `connections.c` keeps messages whole on connections, `certificate.c` looks at certificates,
// `pump.c` waits for sockets, `shim.c` opens them and moves bytes in and out of PDUs.
#include <coap3/coap.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: Hooks

/// A datagram has arrived, before libcoap looks into it. Only set `reset` when it is a Reset message.
typedef void (*coap_shim_received_fn)(void *app, coap_session_t *session, bool reset, uint16_t message_id);
/// libcoap has done with a confirmable response: it was acknowledged, or else it is `forgotten`. If there is a reason, the
/// NACK handler has been told of it before.
typedef void (*coap_shim_finished_fn)(void *app, const coap_pdu_t *pdu, bool forgotten);

/// A datagram has come that is DTLS, where nothing is encrypted.
typedef void (*coap_shim_encrypted_fn)(void *app, coap_session_t *session);

/// Sets one more hook of the calling thread; with the same `app`.
void coap_shim_set_encrypted_hook(coap_shim_encrypted_fn encrypted);
/// Sets the calling thread's hooks; `app` is handed back to them. NULL functions take them out.
void coap_shim_set_hooks(void *app, coap_shim_received_fn received, coap_shim_finished_fn finished);
/// Whether libcoap really calls the hooks, found out by an exchange over the loopback interface. Blocks up to a second;
/// the calling thread has no hooks afterwards.
bool coap_shim_hooks_work(void);

// MARK: Socket and pump

/// A peer's address and port, comparable.
typedef struct {
    uint64_t high, low, port;
} coap_shim_peer_t;

typedef struct {
    int descriptor;        // the socket, owned by libcoap's endpoint
    void *event_pointer;   // what libcoap expects as `data.ptr` of the socket's epoll events
    uint16_t port;         // the real one, host byte order
} coap_shim_socket_t;

/// Finds out whether `port` can be had alone; 0 finds one that can. Returns as `coap_shim_open_datagrams` does.
int coap_shim_free_port(const char *host, uint16_t port, uint16_t *found);
/// Makes a UDP or DTLS endpoint bound to `host` (an address or a name) and `port`.
///
/// Returns 0, or an errno; an error of the name look-up is returned as its negative `EAI_` code.
int coap_shim_open_datagrams(
    coap_context_t *context, bool is_dtls, const char *host, uint16_t port, bool shares_port, int buffer_bytes,
    coap_shim_socket_t *socket);
/// Makes a TCP or TLS endpoint; `socket->descriptor` is the context's own epoll instance, `event_pointer` is NULL.
int coap_shim_open_connections(
    coap_context_t *context, bool is_tls, const char *host, uint16_t port, coap_shim_socket_t *socket);
/// What such a result means, in words.
const char *coap_shim_error_text(int result);
void coap_shim_close(int descriptor);
void coap_shim_name_thread(pthread_t thread, const char *name);

/// An epoll instance that waits for sockets and for wake-ups; the descriptor, or -1 and errno.
int coap_shim_epoll(const int *descriptors, int count, int wake_descriptor);

/// Waits until a socket is readable, somebody wakes us, or the time is over; milliseconds, -1 for ever. At most 63
/// sockets. Takes back wake-ups. Returns the number of readable sockets; their places among the `count` are in `ready`.
int coap_shim_wait(int epoll_descriptor, uint32_t *ready, int count, int wake_descriptor, int timeout);

/// Reads and dispatches up to `depth` datagrams. `idle_context` is an empty context: libcoap ends each call with a scan
/// of all the sessions of the context it is given, but finds the one a datagram belongs to by its socket.
void coap_shim_pump(coap_context_t *idle_context, const coap_shim_socket_t *socket, int depth);

// MARK: Connections

/// Whether libcoap's calls for connections can be set right.
bool coap_shim_connections_hooks_work(void);
/// From now on they are, on the calling thread, which must not have accepted any yet.
void coap_shim_connections_begin(bool is_encrypted);
/// Ends that; there are no connections left.
void coap_shim_connections_end(void);
/// Whether the connection that was read last is to be read again, though no event will say so.
bool coap_shim_connections_have_more(void);

/// `coap_shim_pump` for a context of connections: accepts, reads and writes whatever is ready, up to 64 of them.
void coap_shim_pump_connections(coap_context_t *idle_context, coap_context_t *context);

// MARK: The door of a DTLS listener

/// What becomes of a ClientHello.
typedef enum {
    COAP_SHIM_HELLO_PASS,    // it belongs to the session that is there
    COAP_SHIM_HELLO_PROVEN,  // there is no session, and it may begin one
    COAP_SHIM_HELLO_LATER,   // asked again at the next pump
    COAP_SHIM_HELLO_DROP
} coap_shim_hello_t;

/// A ClientHello has come from an address whose cookie it shows; `random` tells one client's attempts apart.
typedef coap_shim_hello_t (*coap_shim_proven_fn)(void *app, coap_shim_peer_t peer, uint64_t random);

typedef struct {
    uint64_t secret[2];
    void *app;
    coap_shim_proven_fn proven;
} coap_shim_door_t;

/// Whether libcoap believes our cookies.
bool coap_shim_hello_hook_works(void);
/// Chooses the secret; false when the system has no random bytes.
bool coap_shim_door_init(coap_shim_door_t *door);
coap_shim_peer_t coap_shim_peer_of(const struct sockaddr *address);
coap_shim_peer_t coap_shim_peer_of_session(const coap_session_t *session);
/// Like `coap_shim_pump` for a DTLS socket. Returns the number of datagrams there were, at most `depth`.
int coap_shim_pump_dtls(
    coap_context_t *idle_context, const coap_shim_socket_t *socket, const coap_shim_door_t *door, int depth);

// MARK: Certificates

/// What is wrong with PEM files of a certificate, its key and, unless NULL, of certificate authorities; NULL when nothing.
const char *coap_shim_check_certificate(const char *certificate, const char *key, const char *authorities);
/// Gives `context` a certificate. Clients must show one that `authorities` have signed, unless that is NULL; `validate`
/// is told of it.
bool coap_shim_set_certificate(
    coap_context_t *context, const char *certificate, const char *key, const char *authorities,
    coap_dtls_cn_callback_t validate);

// MARK: PDUs

typedef struct {
    const uint8_t *value;
    uint16_t length;
    uint16_t number;
} coap_shim_option_t;

/// Lists a PDU's options; at most `capacity`. Returns their number, or -1 when there are more.
int coap_shim_options(const coap_pdu_t *pdu, coap_shim_option_t *options, int capacity);

/// Why a message was not sent: none could be made of it; the network takes no more now; there is no way to the peer.
enum { COAP_SHIM_IMPOSSIBLE = -1, COAP_SHIM_BUSY = -2, COAP_SHIM_UNREACHABLE = -3 };

/// Makes and sends a message. The payload may be empty. Returns the Message ID, or one of those; `*sent` is the PDU's
/// identity for the `finished` hook.
int coap_shim_send(
    coap_session_t *session, uint8_t type, uint8_t code, uint16_t message_id, const uint8_t *token, size_t token_length,
    const coap_shim_option_t *options, int option_count, const uint8_t *payload, size_t payload_length,
    const void **sent);

/// Keeps libcoap from answering a request by itself when its handler returns; the answer is sent later.
void coap_shim_defer(coap_pdu_t *response);

/// The peer's address as text; returns its length.
int coap_shim_peer(const coap_session_t *session, char *text, size_t capacity);

/// libcoap's log says nothing: its warnings are what a peer can cause with any datagram.
void coap_shim_silence(void);

/// Milliseconds as libcoap counts timeouts.
coap_fixed_point_t coap_shim_milliseconds(unsigned milliseconds);
