#pragma once
// What stands before a socket: who is let through to libcoap, and cookies, which prove an address without anything being
// remembered: a keyed hash of the address and the time.
#include "CCoAPShim.h"

enum { cookie_length = 16 };

/// Chooses the key; false when the system has no random bytes.
bool coap_shim_choose_secret(uint64_t secret[2]);
/// Makes `cookie_length` bytes.
void coap_shim_make_cookie(const uint64_t secret[2], coap_shim_peer_t peer, uint8_t *cookie);
/// Whether these are the first bytes of a cookie made for that peer in this minute or the last; takes the same time
/// wherever they differ.
bool coap_shim_is_cookie(const uint64_t secret[2], coap_shim_peer_t peer, const uint8_t *shown, size_t length);
