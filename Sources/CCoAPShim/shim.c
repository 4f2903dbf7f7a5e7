#include "CCoAPShim.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
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

/// An endpoint on any free port of the loopback interface, whose socket is replaced by our own afterwards.
static int open_placeholder(coap_context_t *context, int family, coap_shim_socket_t *socket) {
    coap_address_t address;
    coap_address_init(&address);
    address.addr.sa.sa_family = (sa_family_t)family;
    if (family == AF_INET6) {
        address.addr.sin6.sin6_addr = in6addr_loopback;
        address.size = sizeof address.addr.sin6;
    } else {
        address.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.size = sizeof address.addr.sin;
    }
    coap_endpoint_t *endpoint = coap_new_endpoint(context, &address, COAP_PROTO_UDP);
    if (!endpoint) return EADDRNOTAVAIL;
    // libcoap reads into 1472 bytes and cuts what is longer; a limit below that refuses what may have been cut.
    coap_endpoint_set_default_mtu(endpoint, 1400);
    return find_endpoint_socket(context, socket);
}

/// Without SO_REUSEADDR, which libcoap sets: it would let two processes take the same port, and the last one get all.
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

int coap_shim_open(
    coap_context_t *context, const char *host, uint16_t port, int buffer_bytes, coap_shim_socket_t *socket) {
    char service[8];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM}, *where = NULL;
    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(host, service, &hints, &where);
    if (failed) return failed < 0 ? failed : -failed;
    int own = -1;
    int reason = bind_socket(where, buffer_bytes, &own);
    if (!reason) reason = open_placeholder(context, where->ai_family, socket);
    freeaddrinfo(where);
    if (!reason && dup3(own, socket->descriptor, O_CLOEXEC) < 0) reason = errno;
    if (own >= 0) close(own);
    if (reason) return reason;
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    if (getsockname(socket->descriptor, (struct sockaddr *)&bound, &length) != 0) return errno;
    socket->port = ntohs(
        bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                    : ((struct sockaddr_in *)&bound)->sin_port);
    return 0;
}

const char *coap_shim_error_text(int result) { return result < 0 ? gai_strerror(result) : strerror(result); }

void coap_shim_close(int descriptor) { close(descriptor); }

void coap_shim_name_thread(pthread_t thread, const char *name) { pthread_setname_np(thread, name); }

// MARK: Waiting

int coap_shim_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void coap_shim_wake(int wake_descriptor) {
    uint64_t one = 1;
    if (write(wake_descriptor, &one, sizeof one) < 0) return;  // EAGAIN: it is awake already
}

int coap_shim_epoll(int socket_descriptor, int wake_descriptor) {
    int made = epoll_create1(EPOLL_CLOEXEC);
    if (made < 0) return -1;
    int descriptors[] = {socket_descriptor, wake_descriptor};
    for (int index = 0; index < 2; index++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptors[index]};
        if (epoll_ctl(made, EPOLL_CTL_ADD, descriptors[index], &event) != 0) {
            close(made);
            return -1;
        }
    }
    return made;
}

bool coap_shim_wait(int epoll_descriptor, int socket_descriptor, int wake_descriptor, int timeout) {
    struct epoll_event events[2];
    bool readable = false;
    int count = epoll_wait(epoll_descriptor, events, 2, timeout);
    for (int index = 0; index < count; index++) {
        if (events[index].data.fd == socket_descriptor) {
            readable = true;
        } else {
            uint64_t wakes;
            if (read(wake_descriptor, &wakes, sizeof wakes) < 0) continue;  // EAGAIN: taken back already
        }
    }
    return readable;
}

void coap_shim_pump(coap_context_t *idle_context, const coap_shim_socket_t *socket, int depth) {
    struct epoll_event events[64];
    if (depth > 64) depth = 64;
    // libcoap reads one datagram for each event; a read too many finds nothing and does no harm.
    for (int index = 0; index < depth; index++)
        events[index] = (struct epoll_event){.events = EPOLLIN, .data.ptr = socket->event_pointer};
    coap_io_do_epoll(idle_context, events, (size_t)depth);
}

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
    coap_pdu_t *pdu = coap_pdu_init(type, code, message_id, coap_session_max_pdu_size(session));
    if (!pdu) return -1;
    bool fits = coap_add_token(pdu, token_length, token);
    for (int index = 0; fits && index < option_count; index++)
        fits = coap_add_option(pdu, options[index].number, options[index].length, options[index].value) != 0;
    if (fits && payload_length > 0) fits = coap_add_data(pdu, payload_length, payload);
    if (!fits) {
        coap_delete_pdu(pdu);
        return -1;
    }
    *sent = pdu;
    return coap_send(session, pdu);
}

void coap_shim_defer(coap_pdu_t *response) {
    // Of responses without a code libcoap sends only those that are no NON.
    coap_pdu_set_type(response, COAP_MESSAGE_NON);
}

int coap_shim_peer(const coap_session_t *session, char *text, size_t capacity) {
    return (int)coap_print_addr(coap_session_get_addr_remote(session), (unsigned char *)text, capacity);
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
