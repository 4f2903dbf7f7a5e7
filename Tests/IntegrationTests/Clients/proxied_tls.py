"""What a load balancer that passes TLS on does: a PROXY protocol header, then TLS, then MQTT's CONNECT.

Prints CONNACK's reason code, and the protocol agreed on.
usage: proxied_tls.py PORT CA_FILE CLIENT_ADDRESS
"""

import socket
import ssl
import sys

port, authority, address = int(sys.argv[1]), *sys.argv[2:4]
context = ssl.create_default_context(cafile=authority)
context.set_alpn_protocols(["mqtt"])
plain = socket.create_connection(("127.0.0.1", port))
plain.sendall(f"PROXY TCP4 {address} 192.0.2.9 4711 1883\r\n".encode())
with context.wrap_socket(plain, server_hostname="localhost") as secure:
    secure.sendall(bytes([16, 16, 0, 4]) + b"MQTT" + bytes([5, 2, 0, 60, 0, 0, 3]) + b"dev")
    connack = secure.recv(1024)
    print(connack[3], secure.selected_alpn_protocol(), flush=True)
