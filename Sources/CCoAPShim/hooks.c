// libcoap 4.3.1 tells nobody when a confirmable notification was acknowledged, nor that a non-confirmable one was
// answered with Reset. MQTT needs both: the first is PUBACK, the second is UNSUBSCRIBE.
//
// It does call three exported functions of its own through the dynamic symbol table, so functions of the same name in
// the executable are called in their stead:
//
//   coap_delete_pdu            a confirmable message is deleted once it was acknowledged, or given up
//   coap_session_max_pdu_size  called with the session right before a datagram is parsed
//   coap_pdu_parse             called with each datagram, decrypted where there is DTLS
//
// Each one calls the original. `coap_shim_hooks_work` proves at start-up that this holds; where it does not, the gateway
// grants observers QoS 0 only.
#include "CCoAPShim.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static __thread void *hook_app;
static __thread coap_shim_received_fn hook_received;
static __thread coap_shim_finished_fn hook_finished;
static __thread const coap_session_t *current_session;

static void (*real_delete_pdu)(coap_pdu_t *);
static size_t (*real_max_pdu_size)(const coap_session_t *);
static int (*real_pdu_parse)(coap_proto_t, const uint8_t *, size_t, coap_pdu_t *);

__attribute__((constructor)) static void find_originals(void) {
    real_delete_pdu = (void (*)(coap_pdu_t *))dlsym(RTLD_NEXT, "coap_delete_pdu");
    real_max_pdu_size = (size_t(*)(const coap_session_t *))dlsym(RTLD_NEXT, "coap_session_max_pdu_size");
    real_pdu_parse =
        (int (*)(coap_proto_t, const uint8_t *, size_t, coap_pdu_t *))dlsym(RTLD_NEXT, "coap_pdu_parse");
}

__attribute__((visibility("default"))) void coap_delete_pdu(coap_pdu_t *pdu) {
    if (pdu && hook_finished && coap_pdu_get_type(pdu) == COAP_MESSAGE_CON && coap_pdu_get_code(pdu) >= 64)
        hook_finished(hook_app, pdu);
    real_delete_pdu(pdu);
}

__attribute__((visibility("default"))) size_t coap_session_max_pdu_size(const coap_session_t *session) {
    current_session = session;
    return real_max_pdu_size(session);
}

__attribute__((visibility("default"))) int coap_pdu_parse(
    coap_proto_t protocol, const uint8_t *data, size_t length, coap_pdu_t *pdu) {
    bool is_datagram = protocol == COAP_PROTO_UDP || protocol == COAP_PROTO_DTLS;
    if (is_datagram && length >= 4) {
        // Signalling (class 7) belongs to reliable transports (RFC 8323 §5); libcoap obeys it on any.
        if (data[1] >> 5 == 7) return 0;
        bool reset = (data[0] >> 4 & 3) == COAP_MESSAGE_RST;
        if (hook_received && current_session)
            hook_received(hook_app, (coap_session_t *)current_session, reset, (uint16_t)(data[2] << 8 | data[3]));
    }
    return real_pdu_parse(protocol, data, length, pdu);
}

void coap_shim_set_hooks(void *app, coap_shim_received_fn received, coap_shim_finished_fn finished) {
    hook_app = app;
    hook_received = received;
    hook_finished = finished;
}

// MARK: The check: a client session of ours sends a confirmable message to a bare socket, which answers with Reset.

typedef struct {
    const coap_session_t *session;
    bool received;
    bool finished;
} check_t;

static void check_received(void *app, coap_session_t *session, bool reset, uint16_t message_id) {
    (void)message_id;
    check_t *check = app;
    if (session == check->session && reset) check->received = true;
}

static void check_finished(void *app, const coap_pdu_t *pdu) {
    (void)pdu;
    ((check_t *)app)->finished = true;
}

static void exchange_reset(coap_context_t *context, int peer, const coap_address_t *address, check_t *check) {
    coap_session_t *session = coap_new_client_session(context, NULL, address, COAP_PROTO_UDP);
    if (!session) return;
    check->session = session;
    coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_CON, COAP_RESPONSE_CODE_CONTENT, coap_new_message_id(session), 64);
    if (pdu && coap_send(session, pdu) != COAP_INVALID_MID) {
        uint8_t datagram[64];
        struct sockaddr_storage from;
        socklen_t from_length = sizeof from;
        struct pollfd readable = {.fd = peer, .events = POLLIN};
        if (poll(&readable, 1, 500) == 1) {
            ssize_t length = recvfrom(peer, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &from_length);
            if (length >= 4) {
                uint8_t reset[4] = {0x70, 0, datagram[2], datagram[3]};
                sendto(peer, reset, sizeof reset, 0, (struct sockaddr *)&from, from_length);
                for (int turn = 0; turn < 10 && !check->finished; turn++) coap_io_process(context, 50);
            }
        }
    }
    coap_session_release(session);
}

bool coap_shim_hooks_work(void) {
    if (!real_delete_pdu || !real_max_pdu_size || !real_pdu_parse) return false;
    check_t check = {0};
    coap_address_t address;
    coap_address_init(&address);
    address.addr.sin.sin_family = AF_INET;
    address.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.size = sizeof address.addr.sin;
    int peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (peer < 0) return false;
    coap_context_t *context = NULL;
    if (bind(peer, &address.addr.sa, address.size) == 0 && getsockname(peer, &address.addr.sa, &address.size) == 0 &&
        (context = coap_new_context(NULL))) {
        coap_shim_set_hooks(&check, check_received, check_finished);
        exchange_reset(context, peer, &address, &check);
        bool both = check.received && check.finished;
        coap_free_context(context);
        coap_shim_set_hooks(NULL, NULL, NULL);
        close(peer);
        return both;
    }
    close(peer);
    return false;
}
