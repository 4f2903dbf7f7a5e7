"""CoAP messages as bytes (RFC 7252 §3), for scripts that say exactly what is sent and when."""

import struct

CON, NON, ACK, RST = 0, 1, 2, 3
GET, POST, PUT, DELETE = 1, 2, 3, 4
OBSERVE, URI_PATH, URI_QUERY = 6, 11, 15


def extended(number):
    if number < 13:
        return number, b""
    if number < 269:
        return 13, bytes([number - 13])
    return 14, struct.pack("!H", number - 269)


def message(kind, code, message_id, token=b"", uri="", options=(), payload=b""):
    """A message; `uri` is `/path?query`, `options` are (number, value)."""
    path, _, query = uri.partition("?")
    all_options = [(URI_PATH, level.encode()) for level in path.split("/")[1:]]
    all_options += [(URI_QUERY, argument.encode()) for argument in query.split("&") if argument]
    octets = bytearray([0x40 | kind << 4 | len(token), code]) + struct.pack("!H", message_id) + token
    last = 0
    for number, value in sorted([*all_options, *options], key=lambda option: option[0]):
        delta, delta_octets = extended(number - last)
        length, length_octets = extended(len(value))
        octets += bytes([delta << 4 | length]) + delta_octets + length_octets + value
        last = number
    return bytes(octets + b"\xff" + payload if payload else octets)


class Message:
    """A message that has come from the broker, which is known to be whole."""

    def __init__(self, octets):
        self.kind, self.code = octets[0] >> 4 & 3, octets[1]
        self.message_id = struct.unpack_from("!H", octets, 2)[0]
        at = 4 + (octets[0] & 15)
        self.token, self.options, self.payload = octets[4:at], [], b""
        number = 0
        while at < len(octets):
            head, at = octets[at], at + 1
            if head == 0xFF:
                self.payload = octets[at:]
                break
            delta, at = self.length(head >> 4, octets, at)
            size, at = self.length(head & 15, octets, at)
            number += delta
            self.options.append((number, octets[at : at + size]))
            at += size

    @staticmethod
    def length(nibble, octets, at):
        if nibble == 13:
            return octets[at] + 13, at + 1
        if nibble == 14:
            return struct.unpack_from("!H", octets, at)[0] + 269, at + 2
        return nibble, at

    @property
    def code_text(self):
        return f"{self.code >> 5}.{self.code & 31:02}"

    @property
    def is_notification(self):
        return any(number == OBSERVE for number, _ in self.options)


def acknowledgement(message_id):
    return message(ACK, 0, message_id)
