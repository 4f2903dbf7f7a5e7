// Cookies: SipHash-2-4 of the peer's address and the time.
#include "guard.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { seconds_per_slot = 60 };

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

static void make_at(const uint64_t secret[2], coap_shim_peer_t peer, uint64_t slot, uint8_t *cookie) {
    for (uint64_t half = 0; half < 2; half++) {
        uint64_t words[] = {peer.high, peer.low, peer.port, slot << 1 | half};
        uint64_t hash = sip_hash(secret, words, 4);
        memcpy(cookie + half * 8, &hash, 8);
    }
}

bool coap_shim_choose_secret(uint64_t secret[2]) { return getrandom(secret, 16, 0) == 16; }

void coap_shim_make_cookie(const uint64_t secret[2], coap_shim_peer_t peer, uint8_t *cookie) {
    make_at(secret, peer, slot_now(), cookie);
}

bool coap_shim_is_cookie(const uint64_t secret[2], coap_shim_peer_t peer, const uint8_t *shown, size_t length) {
    uint64_t now = slot_now();
    for (uint64_t age = 0; age < 2; age++) {
        uint8_t expected[cookie_length], difference = 0;
        make_at(secret, peer, now - age, expected);
        for (size_t index = 0; index < length; index++) difference |= expected[index] ^ shown[index];
        if (difference == 0) return true;
    }
    return false;
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
