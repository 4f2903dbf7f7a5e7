"""CoAP over UDP (RFC 7252), as much of it as a device of this test speaks."""

CON, NON, ACK, RST = 0, 1, 2, 3
EMPTY, GET, POST, PUT, DELETE = 0, 1, 2, 3, 4
OBSERVE, PATH, QUERY, BLOCK2 = 6, 11, 15, 23


def extended(value):
    """A delta or length: its nibble and the bytes that extend it."""
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes([value - 13])
    return 14, (value - 269).to_bytes(2)


def message(kind, code, message_id, token=b"", options=(), payload=b""):
    data = bytearray([0x40 | kind << 4 | len(token), code]) + message_id.to_bytes(2) + token
    former = 0
    for number, value in sorted(options, key=lambda option: option[0]):
        delta, more_delta = extended(number - former)
        length, more_length = extended(len(value))
        data += bytes([delta << 4 | length]) + more_delta + more_length + value
        former = number
    return bytes(data + (b"\xff" + payload if payload else b""))


def target(path, **query):
    """The options of a path and its arguments."""
    return [(PATH, part.encode()) for part in path.split("/")] + [
        (QUERY, f"{name}={value}".encode()) for name, value in query.items()
    ]


def parse(data):
    """Type, code, Message ID, token, payload."""
    kind, length = data[0] >> 4 & 3, data[0] & 15
    token, place = bytes(data[4 : 4 + length]), 4 + length
    while place < len(data) and data[place] != 0xFF:
        delta, size, place = data[place] >> 4, data[place] & 15, place + 1
        place += {13: 1, 14: 2}.get(delta, 0)
        if size == 13:
            size, place = data[place] + 13, place + 1
        elif size == 14:
            size, place = int.from_bytes(data[place : place + 2]) + 269, place + 2
        place += size
    return kind, data[1], int.from_bytes(data[2:4]), token, bytes(data[place + 1 :])
