"""MQTT 3.1.1 and 5.0, as much of it as the clients of this test speak."""

import struct

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14


def number(value):
    """A Variable Byte Integer."""
    encoded = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        encoded.append(byte | 0x80 if value else byte)
        if not value:
            return bytes(encoded)


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + number(len(body)) + body


def properties(version, data=b""):
    return number(len(data)) + data if version == 5 else b""


def connect(version, client, clean, expiry, receive_maximum=None, will=None):
    """`will`: topic, payload and QoS."""
    own = struct.pack(">BI", 0x11, expiry) if expiry else b""
    if receive_maximum:
        own += struct.pack(">BH", 0x21, receive_maximum)
    flags = 2 * clean | (4 | will[2] << 3 if will else 0)
    body = text("MQTT") + bytes([version, flags]) + struct.pack(">H", 0) + properties(version, own) + text(client)
    if will:
        body += properties(version) + text(will[0]) + text(will[1])
    return packet(CONNECT, 0, body)


def publish(version, topic, payload, qos, retain, packet_id, dup=False):
    body = text(topic) + (struct.pack(">H", packet_id) if qos else b"") + properties(version) + payload.encode()
    return packet(PUBLISH, dup << 3 | qos << 1 | retain, body)


def subscribe(version, packet_id, filter, qos):
    return packet(SUBSCRIBE, 2, struct.pack(">H", packet_id) + properties(version) + text(filter) + bytes([qos]))


def unsubscribe(version, packet_id, filter):
    return packet(UNSUBSCRIBE, 2, struct.pack(">H", packet_id) + properties(version) + text(filter))


def acknowledgement(kind, packet_id):
    return packet(kind, 2 if kind == PUBREL else 0, struct.pack(">H", packet_id))


def disconnect(version, expiry=None):
    if version == 5 and expiry is not None:
        return packet(DISCONNECT, 0, b"\0" + properties(5, struct.pack(">BI", 0x11, expiry)))
    return packet(DISCONNECT, 0, b"")


def take_packet(data):
    """Takes the first packet out: its type, flags and body; None when it is not whole."""
    length = shift = 0
    for place in range(1, min(len(data), 5)):
        length |= (data[place] & 0x7F) << shift
        shift += 7
        if data[place] < 0x80:
            if len(data) < place + 1 + length:
                return None
            body = bytes(data[place + 1 : place + 1 + length])
            first = data[0]
            del data[: place + 1 + length]
            return first >> 4, first & 15, body
    return None


def parse_publish(version, flags, body):
    """Topic, payload, QoS, RETAIN, Packet Identifier."""
    qos = flags >> 1 & 3
    end = 2 + int.from_bytes(body[:2])
    topic, packet_id = body[2:end].decode(), 0
    if qos:
        packet_id = int.from_bytes(body[end : end + 2])
        end += 2
    if version == 5:
        # No property of theirs is longer than 127 bytes here.
        end += 1 + body[end]
    return topic, body[end:].decode(), qos, flags & 1, packet_id
