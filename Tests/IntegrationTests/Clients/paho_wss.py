"""Publishes to itself with paho-mqtt over WebSocket in TLS. Prints the payload as it comes back, or "refused".

usage: paho_wss.py PORT CA_FILE TOPIC PAYLOAD [CERTIFICATE KEY]
"""

import sys

import paho.mqtt.client as mqtt

port, authority, topic, payload = int(sys.argv[1]), *sys.argv[2:5]
certificate, key = sys.argv[5:7] if len(sys.argv) > 5 else (None, None)


def on_connect(client, _userdata, _flags, reason, _properties):
    client.subscribe(topic, qos=1)


def on_subscribe(client, _userdata, _mid, reasons, _properties):
    if reasons[0].is_failure:
        print("refused", flush=True)
        return client.disconnect()
    client.publish(topic, payload, qos=1)


def on_message(client, _userdata, message):
    print(message.payload.decode(), flush=True)
    client.disconnect()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport="websockets", protocol=mqtt.MQTTv5)
client.ws_set_options(path="/mqtt")
client.tls_set(authority, certificate, key)
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
try:
    client.connect("localhost", port)
except OSError:
    print("refused", flush=True)
    sys.exit(1)
client.loop_forever()
