// Addresses prove to be the sender's before libcoap hears of them (RFC 9175 §2.3).
//
// libcoap 4.3.1 makes a session for each address it has a datagram from, spoofed or not. With `echo` on, a request from an
// address without a session is answered with 4.01 and an Echo option, a keyed hash of the address and the minute, and
// nothing is remembered. A request that shows such an Echo has come from its address: libcoap gets it.
#include "CCoAPShim.h"
#include "guard.h"

#include <string.h>
#include <sys/socket.h>

enum { echo_option = 252, echo_length = 8 };

/// Reads the extension of an option's delta or length (RFC 7252 §3.1); false when it can't be had.
static bool extend(size_t *value, const uint8_t **place, const uint8_t *end) {
    if (*value == 15) return false;
    size_t bytes = *value < 13 ? 0 : *value - 12;
    if ((size_t)(end - *place) < bytes) return false;
    if (bytes == 1) *value = 13 + (size_t)(*place)[0];
    if (bytes == 2) *value = 269 + ((size_t)(*place)[0] << 8 | (*place)[1]);
    *place += bytes;
    return true;
}

/// The value of the Echo option; NULL when there is none that could be ours.
static const uint8_t *find_echo(const uint8_t *bytes, size_t length) {
    const uint8_t *place = bytes + 4 + (bytes[0] & 15), *end = bytes + length;
    size_t number = 0;
    while (place < end && *place != 0xff) {
        size_t delta = *place >> 4, size = *place & 15;
        place++;
        if (!extend(&delta, &place, end) || !extend(&size, &place, end) || size > (size_t)(end - place)) return NULL;
        number += delta;
        if (number == echo_option) return size == echo_length ? place : NULL;
        place += size;
    }
    return NULL;
}

/// Sends a datagram to where the message came from.
static void answer(int descriptor, const struct msghdr *message, uint8_t *bytes, size_t length) {
    struct iovec vector = {.iov_base = bytes, .iov_len = length};
    struct msghdr header = *message;
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_flags = 0;
    // The way libcoap's answers go, so that it gathers with them.
    sendmsg(descriptor, &header, 0);
}

bool coap_shim_echo_init(coap_shim_echo_t *echo) { return coap_shim_choose_secret(echo->secret); }

static bool echo_admits(
    const coap_shim_echo_t *echo, int descriptor, const struct msghdr *message, const uint8_t *bytes, size_t length) {
    static __thread uint16_t own_message_id;
    if (length < 4 || bytes[0] >> 6 != 1) return false;
    size_t token_length = bytes[0] & 15;
    bool is_confirmable = (bytes[0] >> 4 & 3) == COAP_MESSAGE_CON;
    if (is_confirmable && length == 4 && bytes[1] == 0) {
        // A ping (RFC 7252 §4.3).
        uint8_t reset[4] = {0x70, 0, bytes[2], bytes[3]};
        answer(descriptor, message, reset, sizeof reset);
        return false;
    }
    bool is_request = bytes[1] >> 5 == 0 && bytes[1] != 0 && (is_confirmable || (bytes[0] >> 4 & 3) == COAP_MESSAGE_NON);
    if (!is_request || token_length > 8 || length < 4 + token_length) return false;
    coap_shim_peer_t peer = coap_shim_peer_of(message->msg_name);
    const uint8_t *shown = find_echo(bytes, length);
    if (shown && coap_shim_is_cookie(echo->secret, peer, shown, echo_length)) return true;
    size_t challenge_length = 4 + token_length + 2 + echo_length;
    // No more than three times the bytes received (RFC 9175 §2.4).
    if (challenge_length > 3 * length) return false;
    uint8_t challenge[4 + 8 + 2 + cookie_length];
    uint16_t own = own_message_id++;
    challenge[0] = (uint8_t)((is_confirmable ? 0x60 : 0x50) | token_length);
    challenge[1] = COAP_RESPONSE_CODE_UNAUTHORIZED;
    challenge[2] = is_confirmable ? bytes[2] : (uint8_t)(own >> 8);
    challenge[3] = is_confirmable ? bytes[3] : (uint8_t)own;
    memcpy(challenge + 4, bytes + 4, token_length);
    uint8_t *option = challenge + 4 + token_length;
    option[0] = 13 << 4 | echo_length;
    option[1] = echo_option - 13;
    coap_shim_make_cookie(echo->secret, peer, option + 2);
    answer(descriptor, message, challenge, challenge_length);
    return false;
}

bool coap_shim_guard_admits(
    const coap_shim_guard_t *guard, int descriptor, const struct msghdr *message, const uint8_t *bytes, size_t length) {
    if (guard->known(guard->app, coap_shim_peer_of(message->msg_name))) return true;
    if (guard->drops_strangers) return false;
    return !guard->has_echo || echo_admits(&guard->echo, descriptor, message, bytes, length);
}
