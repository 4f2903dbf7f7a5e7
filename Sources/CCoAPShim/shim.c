#include "CCoAPShim.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// MARK: Socket

/// The newest socket in libcoap's epoll set and the pointer that stands for it there.
static int find_endpoint_socket(coap_context_t *context, coap_shim_socket_t *found) {
    char path[64], line[256];
    found->descriptor = -1;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", coap_context_get_coap_fd(context));
    FILE *file = fopen(path, "re");
    if (!file) return errno;
    while (fgets(line, sizeof line, file)) {
        int descriptor;
        unsigned events;
        unsigned long long pointer;
        if (sscanf(line, "tfd: %d events: %x data: %llx", &descriptor, &events, &pointer) == 3 && pointer != 0 &&
            descriptor > found->descriptor) {
            found->descriptor = descriptor;
            found->event_pointer = (void *)(uintptr_t)pointer;
        }
    }
    fclose(file);
    return found->descriptor < 0 ? ENOENT : 0;
}

static void set_any_port(coap_address_t *address, int family) {
    coap_address_init(address);
    address->addr.sa.sa_family = (sa_family_t)family;
    if (family == AF_INET6) {
        address->addr.sin6.sin6_addr = in6addr_loopback;
        address->size = sizeof address->addr.sin6;
    } else {
        address->addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address->size = sizeof address->addr.sin;
    }
}

/// An endpoint on any free port of the loopback interface, whose socket is replaced by our own afterwards.
static int open_placeholder(coap_context_t *context, coap_proto_t protocol, int family, coap_shim_socket_t *socket) {
    coap_address_t address;
    set_any_port(&address, family);
    coap_endpoint_t *endpoint = coap_new_endpoint(context, &address, protocol);
    if (!endpoint) return EADDRNOTAVAIL;
    // libcoap reads into 1472 bytes and cuts what is longer; a limit below that refuses what may have been cut.
    coap_endpoint_set_default_mtu(endpoint, 1400);
    return find_endpoint_socket(context, socket);
}

/// Without SO_REUSEADDR, which libcoap sets: it would let two processes take the same port, and the last one get all.
/// With SO_REUSEPORT several sockets share one port, and the kernel keeps each peer with one of them.
static int bind_socket(const struct addrinfo *where, bool shares_port, int buffer_bytes, int *descriptor) {
    int made = socket(where->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0;
    if (made < 0) return errno;
    if (where->ai_family == AF_INET6) {
        setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        setsockopt(made, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    }
    setsockopt(made, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    setsockopt(made, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    setsockopt(made, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    if (shares_port) setsockopt(made, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(made, where->ai_addr, where->ai_addrlen) != 0) {
        int reason = errno;
        close(made);
        return reason;
    }
    *descriptor = made;
    return 0;
}

static int port_of(int descriptor, uint16_t *port) {
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    if (getsockname(descriptor, (struct sockaddr *)&bound, &length) != 0) return errno;
    *port = ntohs(
        bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                    : ((struct sockaddr_in *)&bound)->sin_port);
    return 0;
}

static int look_up(const char *host, uint16_t port, int type, struct addrinfo **where) {
    char service[8];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = type};
    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(host, service, &hints, where);
    return failed > 0 ? -failed : failed;
}

int coap_shim_free_port(const char *host, uint16_t port, uint16_t *found) {
    struct addrinfo *where = NULL;
    int reason = look_up(host, port, SOCK_DGRAM, &where), probe = -1;
    if (reason) return reason;
    reason = bind_socket(where, false, 0, &probe);
    freeaddrinfo(where);
    if (reason) return reason;
    reason = port_of(probe, found);
    close(probe);
    return reason;
}

int coap_shim_open_datagrams(
    coap_context_t *context, bool is_dtls, const char *host, uint16_t port, bool shares_port, int buffer_bytes,
    coap_shim_socket_t *socket) {
    struct addrinfo *where = NULL;
    int own = -1, reason = look_up(host, port, SOCK_DGRAM, &where);
    if (reason) return reason;
    reason = bind_socket(where, shares_port, buffer_bytes, &own);
    if (!reason)
        reason = open_placeholder(context, is_dtls ? COAP_PROTO_DTLS : COAP_PROTO_UDP, where->ai_family, socket);
    freeaddrinfo(where);
    if (!reason && dup3(own, socket->descriptor, O_CLOEXEC) < 0) reason = errno;
    if (own >= 0) close(own);
    return reason ? reason : port_of(socket->descriptor, &socket->port);
}

int coap_shim_open_connections(
    coap_context_t *context, bool is_tls, const char *host, uint16_t port, coap_shim_socket_t *socket) {
    struct addrinfo *where = NULL;
    int reason = look_up(host, port, SOCK_STREAM, &where);
    if (reason) return reason;
    coap_address_t address;
    coap_address_init(&address);
    memcpy(&address.addr, where->ai_addr, where->ai_addrlen);
    address.size = where->ai_addrlen;
    freeaddrinfo(where);
    errno = 0;
    if (!coap_new_endpoint(context, &address, is_tls ? COAP_PROTO_TLS : COAP_PROTO_TCP))
        return errno ? errno : EADDRNOTAVAIL;
    coap_shim_socket_t listening;
    reason = find_endpoint_socket(context, &listening);
    // libcoap lets five clients wait.
    if (!reason && listen(listening.descriptor, SOMAXCONN) != 0) reason = errno;
    socket->descriptor = coap_context_get_coap_fd(context);
    socket->event_pointer = NULL;
    return reason ? reason : port_of(listening.descriptor, &socket->port);
}

const char *coap_shim_error_text(int result) { return result < 0 ? gai_strerror(result) : strerror(result); }

void coap_shim_close(int descriptor) { close(descriptor); }

void coap_shim_name_thread(pthread_t thread, const char *name) { pthread_setname_np(thread, name); }

// MARK: PDUs

int coap_shim_options(const coap_pdu_t *pdu, coap_shim_option_t *options, int capacity) {
    coap_opt_iterator_t iterator;
    coap_opt_t *option;
    int count = 0;
    coap_option_iterator_init(pdu, &iterator, COAP_OPT_ALL);
    while ((option = coap_option_next(&iterator))) {
        if (count == capacity) return -1;
        options[count++] = (coap_shim_option_t){
            .value = coap_opt_value(option),
            .length = (uint16_t)coap_opt_length(option),
            .number = iterator.number,
        };
    }
    return count;
}

int coap_shim_send(
    coap_session_t *session, uint8_t type, uint8_t code, uint16_t message_id, const uint8_t *token, size_t token_length,
    const coap_shim_option_t *options, int option_count, const uint8_t *payload, size_t payload_length,
    const void **sent) {
    // libcoap would take itself for the client and begin a handshake, or a connection, with whoever has just left.
    if (coap_session_get_state(session) == COAP_SESSION_STATE_NONE) return COAP_SHIM_UNREACHABLE;
    coap_pdu_t *pdu = coap_pdu_init(type, code, message_id, coap_session_max_pdu_size(session));
    if (!pdu) return COAP_SHIM_IMPOSSIBLE;
    bool fits = coap_add_token(pdu, token_length, token);
    for (int index = 0; fits && index < option_count; index++)
        fits = coap_add_option(pdu, options[index].number, options[index].length, options[index].value) != 0;
    if (fits && payload_length > 0) fits = coap_add_data(pdu, payload_length, payload);
    if (!fits) {
        coap_delete_pdu(pdu);
        return COAP_SHIM_IMPOSSIBLE;
    }
    *sent = pdu;
    errno = 0;
    coap_mid_t sent_id = coap_send(session, pdu);
    if (sent_id != COAP_INVALID_MID) return sent_id;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? COAP_SHIM_BUSY : COAP_SHIM_UNREACHABLE;
}

void coap_shim_defer(coap_pdu_t *response) {
    // Of responses without a code libcoap sends only those that are no NON.
    coap_pdu_set_type(response, COAP_MESSAGE_NON);
}

int coap_shim_peer(const coap_session_t *session, char *text, size_t capacity) {
    return (int)coap_print_addr(coap_session_get_addr_remote(session), (unsigned char *)text, capacity);
}

bool coap_shim_set_certificate(
    coap_context_t *context, const char *certificate, const char *key, const char *authorities,
    coap_dtls_cn_callback_t validate) {
    coap_dtls_pki_t setup = {
        .version = COAP_DTLS_PKI_SETUP_VERSION,
        .verify_peer_cert = authorities != NULL,
        .check_common_ca = authorities != NULL,
        .cert_chain_validation = 1,
        .cert_chain_verify_depth = 3,
        .allow_no_crl = 1,
        .validate_cn_call_back = authorities ? validate : NULL,
        .pki_key.key_type = COAP_PKI_KEY_PEM,
        .pki_key.key.pem = {.ca_file = authorities, .public_cert = certificate, .private_key = key},
    };
    return coap_context_set_pki(context, &setup) == 1;
}

static void log_nothing(coap_log_t level, const char *message) {
    (void)level;
    (void)message;
}

void coap_shim_silence(void) {
    coap_set_log_level(LOG_EMERG);
    coap_set_log_handler(log_nothing);
}

coap_fixed_point_t coap_shim_milliseconds(unsigned milliseconds) {
    return (coap_fixed_point_t){(uint16_t)(milliseconds / 1000), (uint16_t)(milliseconds % 1000)};
}
