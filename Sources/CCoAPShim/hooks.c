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
// One more thing needs to be told: libcoap deletes confirmable messages that nobody has acknowledged. It takes a
// non-confirmable message for the end of the one that it has under way itself under the same Message ID, though each side
// numbers its own (RFC 7252 §4.4); it takes a response of the peer's for the end of all those with its token, and a Reset
// of one for the end of the others with the same token. Such a message is forgotten, not acknowledged.
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
static __thread coap_shim_encrypted_fn hook_encrypted;
static __thread const coap_session_t *current_session;
/// The acknowledgement that libcoap is at work on.
static __thread const coap_pdu_t *current_acknowledgement;

static void (*real_delete_pdu)(coap_pdu_t *);
static size_t (*real_max_pdu_size)(const coap_session_t *);
static int (*real_pdu_parse)(coap_proto_t, const uint8_t *, size_t, coap_pdu_t *);

__attribute__((constructor)) static void find_originals(void) {
    real_delete_pdu = (void (*)(coap_pdu_t *))dlsym(RTLD_NEXT, "coap_delete_pdu");
    real_max_pdu_size = (size_t(*)(const coap_session_t *))dlsym(RTLD_NEXT, "coap_session_max_pdu_size");
    real_pdu_parse =
        (int (*)(coap_proto_t, const uint8_t *, size_t, coap_pdu_t *))dlsym(RTLD_NEXT, "coap_pdu_parse");
}

static bool is_acknowledged(const coap_pdu_t *pdu) {
    return current_acknowledgement && coap_pdu_get_mid(current_acknowledgement) == coap_pdu_get_mid(pdu);
}

__attribute__((visibility("default"))) void coap_delete_pdu(coap_pdu_t *pdu) {
    if (pdu && hook_finished && coap_pdu_get_type(pdu) == COAP_MESSAGE_CON && coap_pdu_get_code(pdu) >= 64)
        hook_finished(hook_app, pdu, !is_acknowledged(pdu));
    if (pdu == current_acknowledgement) current_acknowledgement = NULL;
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
        // A handshake record of DTLS (RFC 6347 §4.1), where nothing is encrypted.
        if (protocol == COAP_PROTO_UDP && data[0] == 22 && data[1] == 0xfe && hook_encrypted && current_session)
            hook_encrypted(hook_app, (coap_session_t *)current_session);
        // Signalling (class 7) belongs to reliable transports (RFC 8323 §5); libcoap obeys it on any.
        if (data[1] >> 5 == 7) return 0;
        int type = data[0] >> 4 & 3;
        current_acknowledgement = type == COAP_MESSAGE_ACK ? pdu : NULL;
        if (hook_received && current_session) {
            bool reset = type == COAP_MESSAGE_RST;
            hook_received(hook_app, (coap_session_t *)current_session, reset, (uint16_t)(data[2] << 8 | data[3]));
        }
    }
    return real_pdu_parse(protocol, data, length, pdu);
}

void coap_shim_set_encrypted_hook(coap_shim_encrypted_fn encrypted) { hook_encrypted = encrypted; }

void coap_shim_set_hooks(void *app, coap_shim_received_fn received, coap_shim_finished_fn finished) {
    hook_app = app;
    hook_received = received;
    hook_finished = finished;
}

// MARK: The check: client sessions of ours send a confirmable message to a bare socket. One is acknowledged and finished;
// the others are answered with Reset and with a request of the same Message ID, and are forgotten, if that ends them.

typedef struct {
    const coap_session_t *session;
    bool reset;
    bool finished;
    bool forgotten;
} check_t;

static void check_received(void *app, coap_session_t *session, bool reset, uint16_t message_id) {
    (void)message_id;
    check_t *check = app;
    if (session == check->session && reset) check->reset = true;
}

static void check_finished(void *app, const coap_pdu_t *pdu, bool forgotten) {
    (void)pdu;
    check_t *check = app;
    if (forgotten)
        check->forgotten = true;
    else
        check->finished = true;
}

/// Answers what has come to the socket with two bytes and its Message ID.
static void answer(coap_context_t *context, int peer, uint8_t first, uint8_t code, const check_t *check) {
    uint8_t datagram[64];
    struct sockaddr_storage from;
    socklen_t from_length = sizeof from;
    struct pollfd readable = {.fd = peer, .events = POLLIN};
    if (poll(&readable, 1, 500) != 1 ||
        recvfrom(peer, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &from_length) < 4)
        return;
    uint8_t message[4] = {first, code, datagram[2], datagram[3]};
    sendto(peer, message, sizeof message, 0, (struct sockaddr *)&from, from_length);
    for (int turn = 0; turn < 10 && !check->finished && !check->forgotten; turn++) coap_io_process(context, 50);
}

static check_t exchange(coap_context_t *context, int peer, const coap_address_t *address, uint8_t first, uint8_t code) {
    check_t check = {0};
    coap_session_t *session = coap_new_client_session(context, NULL, address, COAP_PROTO_UDP);
    if (!session) return check;
    check.session = session;
    coap_shim_set_hooks(&check, check_received, check_finished);
    coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_CON, COAP_RESPONSE_CODE_CONTENT, coap_new_message_id(session), 64);
    if (pdu && coap_send(session, pdu) != COAP_INVALID_MID) answer(context, peer, first, code, &check);
    coap_shim_set_hooks(NULL, NULL, NULL);
    coap_session_release(session);
    return check;
}

bool coap_shim_hooks_work(void) {
    if (!real_delete_pdu || !real_max_pdu_size || !real_pdu_parse) return false;
    coap_address_t address;
    coap_address_init(&address);
    address.addr.sin.sin_family = AF_INET;
    address.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.size = sizeof address.addr.sin;
    int peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (peer < 0) return false;
    bool works = false;
    coap_context_t *context = NULL;
    if (bind(peer, &address.addr.sa, address.size) == 0 && getsockname(peer, &address.addr.sa, &address.size) == 0 &&
        (context = coap_new_context(NULL))) {
        check_t reset = exchange(context, peer, &address, 0x70, 0);
        works = reset.reset && !reset.finished && exchange(context, peer, &address, 0x60, 0).finished &&
                !exchange(context, peer, &address, 0x50, COAP_REQUEST_GET).finished;
        coap_free_context(context);
    }
    close(peer);
    return works;
}
