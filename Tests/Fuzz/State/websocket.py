"""`sluice.json` over a WebSocket (RFC 6455), from the client's side."""

import base64
import json
import os
import struct

HANDSHAKE = (
    "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sluice.json\r\n\r\n"
)


def handshake():
    return HANDSHAKE.format(key=base64.b64encode(os.urandom(16)).decode()).encode()


def frame(operation):
    data = json.dumps(operation).encode()
    length = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + struct.pack(">H", len(data))
    # A mask of zeroes is a mask.
    return b"\x81" + length + b"\0\0\0\0" + data


def take_frame(data):
    """Takes the first frame out: its opcode and payload; None when it is not whole."""
    if len(data) < 2:
        return None
    length, start = data[1] & 0x7F, 2
    if length == 126:
        length, start = int.from_bytes(data[2:4]), 4
    elif length == 127:
        length, start = int.from_bytes(data[2:10]), 10
    if len(data) < start + length:
        return None
    opcode, payload = data[0] & 15, bytes(data[start : start + length])
    del data[: start + length]
    return opcode, payload
