"""Opens connections in TLS and says nothing on them, before the handshake on one and after it on the other of each port.

usage: silent_tls.py PORT...
"""

import signal
import socket
import ssl
import sys

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def connect(port):
    return socket.create_connection(("127.0.0.1", port))


ports = [int(port) for port in sys.argv[1:]]
opened = [connect(port) for port in ports]
opened += [context.wrap_socket(connect(port)) for port in ports]
print("connected", flush=True)
signal.pause()
