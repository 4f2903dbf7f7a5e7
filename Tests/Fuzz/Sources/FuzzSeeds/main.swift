import BrokerTestSupport
import Foundation
import MQTTCodec
import NIOCore

// Writes the seeds of all corpora: the vectors of the codec's tests, one packet of every type in both versions, and
// some schedules.
// usage: fuzz-seeds FOLDER

let folder = URL(fileURLWithPath: CommandLine.arguments.dropFirst().first ?? "Corpus")

func write(_ bytes: [UInt8], _ harness: String, _ name: String) throws {
    let corpus = folder.appending(path: harness)
    try FileManager.default.createDirectory(at: corpus, withIntermediateDirectories: true)
    try Data(bytes).write(to: corpus.appending(path: name))
}

let topic = try TopicName("a/b")
var properties = PublishProperties()
properties.payloadFormatIndicator = true
properties.messageExpiryInterval = 60
properties.topicAlias = 1
properties.responseTopic = "r"
properties.correlationData = ByteBuffer(string: "c")
properties.contentType = "text/plain"
properties.userProperties = [UserProperty("k", "v")]
let will = Will(topic: topic, payload: ByteBuffer(string: "w"), qos: .exactlyOnce, retain: true, properties: properties)
let acknowledgement = Acknowledgement(packetID: 1, reasonString: "why", userProperties: [UserProperty("k", "v")])
let packets: [Packet] = [
    .connect(Connect(clientID: "c", will: will, userName: "u", password: ByteBuffer(string: "p"))),
    .connack(Connack(sessionPresent: true, reasonCode: .success)),
    .publish(
        Publish(topic: topic, payload: ByteBuffer(string: "x"), qos: .atLeastOnce, packetID: 1, properties: properties)
    ),
    .puback(acknowledgement), .pubrec(acknowledgement), .pubrel(acknowledgement), .pubcomp(acknowledgement),
    .subscribe(Subscribe(packetID: 1, subscriptions: [.init(filter: "a/+/#")], subscriptionIdentifier: 3)),
    .suback(Suback(packetID: 1, reasonCodes: [.grantedQoS2, .topicFilterInvalid])),
    .unsubscribe(Unsubscribe(packetID: 1, filters: ["a", "b"])),
    .unsuback(Unsuback(packetID: 1, reasonCodes: [.success])),
    .pingreq, .pingresp,
    .disconnect(Disconnect(reasonCode: .serverShuttingDown, reasonString: "why")),
    .auth(Auth(reasonCode: .continueAuthentication, authenticationMethod: "m")),
]
for packet in packets {
    for version in ProtocolVersion.allCases {
        var bytes = ByteBuffer()
        PacketEncoder.encode(packet, version: version, into: &bytes)
        for role: UInt8 in 0...1 {
            let choice = role | (version == .v5 ? 2 : 0)
            try write([choice] + bytes.readableBytesView, "codec", "\(packet.type)-\(version.rawValue)-\(role)")
        }
    }
}

/// A step of a schedule: an action of a client, and its arguments.
func step(_ action: UInt8, _ client: UInt8, _ arguments: UInt8...) -> [UInt8] { [action << 2 | client] + arguments }

// What a vector's reader is, the harness of the codec is; and what a client may send or not, a client sends.
for (number, vector) in Vector.all.enumerated() {
    let bytes = Array(vector.bytes.readableBytesView)
    let isVersion5 = vector.version == .v5
    let name = "vector-\(number)"
    try write([(vector.role == .client ? 1 : 0) | (isVersion5 ? 2 : 0)] + bytes, "codec", name)
    // The broker's clients send CONNECT by themselves.
    guard vector.role == .server, bytes.count < 256, bytes.first.map({ $0 >> 4 != 1 }) ?? false else { continue }
    let connect = step(0, 0, isVersion5 ? 0x21 : 0x02) + step(6, 0, 0x02, 1, 0)
    try write(connect + step(1, 0, UInt8(bytes.count)) + bytes, "broker", name)
}

let connects = step(0, 0, 0x01) + step(0, 1, 0x61) + step(0, 2, 0x82)
try write(connects + step(6, 0, 0x02, 1, 2) + step(5, 1, 0x21, 1, 1) + step(8, 0, 0, 0), "broker", "publish")
try write(
    connects + step(6, 1, 0x01, 0, 4) + step(2, 1) + step(5, 0, 0x22, 0, 2) + step(0, 1, 0x63),
    "broker",
    "resume"
)
try write(connects + step(5, 0, 0x24, 1) + step(6, 2, 0x00, 1, 1) + step(3, 0, 200), "broker", "retained")
try write(step(0, 0, 0x3d) + step(0, 1, 0x01) + step(2, 0) + step(3, 0, 20) + step(4, 1, 1), "broker", "will")

/// A datagram that an endpoint sends, and what comes of it.
func ask(_ endpoint: UInt8, _ message: RawMessage) -> [UInt8] {
    let bytes = message.bytes
    return step(1, endpoint, UInt8(bytes.count >> 8), UInt8(bytes.count & 0xff)) + bytes
}

var lastMessageID: UInt16 = 0

@MainActor func coap(
    _ code: UInt8,
    _ uri: String,
    _ kind: RawMessage.Kind = .confirmable,
    token: [UInt8] = [7],
    payload: String = ""
) -> RawMessage {
    lastMessageID += 1
    return RawMessage(kind, code, lastMessageID, token: token, payload: payload).to(uri)
}

let connection = ask(0, coap(Method.post, "/mqtt/connection?c=d&clean=0&ka=9&will-topic=w&will-payload=x&will-qos=1"))
let publishes: [UInt8] = step(8, 0, 0x01, 0, 1) + step(8, 0, 0x05, 1, 255) + step(2, 0)
let schedules: [String: [UInt8]] = [
    "methods": ask(0, coap(Method.put, "/ps/a", payload: "x").with(12, integer: 50))
        + ask(1, coap(Method.get, "/ps/a").with(17, integer: 50)) + ask(1, coap(Method.get, "/r/a").with(4, [1]))
        + ask(2, coap(Method.post, "/ps/a/b?q=2&id=1&c=e&expiry=9&r=1", payload: "y").with(258, [0x1a]))
        + ask(2, coap(Method.delete, "/ps?topic=a", .nonConfirmable)) + ask(3, coap(5, "/ps/a", payload: "z")),
    "conditions": ask(0, coap(Method.put, "/ps/a", payload: "x").with(5, []))
        + ask(0, coap(Method.put, "/ps/a", payload: "y").with(1, []))
        + ask(1, coap(Method.get, "/.well-known/core?rt=core.*")),
    "observe": ask(0, coap(Method.get, "/ps/+/+?q=1&rh=1&nl=1").with(6, []))
        + ask(1, coap(Method.get, "/ps/#?q=0").with(6, []))
        + publishes + step(3, 0, 0) + step(5, 1, 0) + step(4, 0, 0, 1) + ask(0, coap(Method.get, "/ps/a").with(6, [1])),
    "state": ask(0, coap(Method.get, "/ps/a?obs=state&q=1").with(6, [])) + publishes + publishes + step(3, 0, 0),
    "session": connection + ask(0, coap(Method.get, "/ps/a?c=d&t=$").with(6, [])) + publishes + step(4, 0, 0, 1)
        + ask(1, coap(Method.put, "/mqtt/connection?c=d&t=$")) + step(3, 0, 0) + step(6, 1)
        + ask(2, coap(Method.delete, "/mqtt/connection?c=d&t=$")),
    "downlink": connection + ask(0, coap(Method.get, "/ps/#?c=d&t=$").with(6, []))
        + ask(0, coap(Method.get, "/ps/#?c=d&t=$").with(6, [1])) + publishes + step(8, 0, 0x01, 7, 200)
        + ask(0, coap(Method.post, "/ps/u?c=d&t=$&dl=1", payload: "x"))
        + ask(1, coap(Method.post, "/ps/u?c=d&t=$&dl=1&wait=5", payload: "x")) + step(7, 0, 100, 100) + step(9, 0, 0),
    "upload": ask(
        0,
        coap(Method.put, "/ps/a", payload: String(repeating: "x", count: 16)).block1(0, more: true, exponent: 0)
    )
        + ask(0, coap(Method.put, "/ps/a", payload: "last").block1(1, more: false, exponent: 0))
        + ask(
            1,
            coap(Method.post, "/ps/a", payload: String(repeating: "y", count: 16)).block1(0, more: true, exponent: 0)
                .with(292, [1])
        ),
    "download": step(8, 0, 0x05, 0, 255) + ask(0, coap(Method.get, "/ps/a"))
        + ask(0, coap(Method.get, "/ps/a").block2(1, exponent: 6))
        + ask(0, coap(Method.get, "/ps/a").with(6, [])) + step(8, 0, 0x05, 0, 200)
        + ask(0, coap(Method.get, "/ps/a").block2(2, exponent: 4))
        + step(7, 0, 255, 255),
]
for (name, schedule) in schedules {
    for flags: UInt8 in [0x00, 0x02, 0x05, 0x08, 0x10] { try write([flags] + schedule, "coap", "\(name)-\(flags)") }
}

/// Bytes on a connection, handed in at once.
func fed(_ messages: RawMessage...) -> [UInt8] {
    let bytes = messages.flatMap(\.frame)
    return [0, UInt8(bytes.count)] + bytes
}

let settings = RawMessage(.confirmable, SignalCode.csm, 0).with(2, integer: 4_000).with(4, [])
let custody = RawMessage(.confirmable, SignalCode.ping, 0, token: [1]).with(2, [])
let get = RawMessage(.confirmable, Method.get, 0, token: [2]).to("/ps/a")
let streams: [String: [UInt8]] = [
    "greeting": [1] + fed(settings) + [12],
    "requests": [0] + fed(get, get, custody, get) + [7, 9, 8, 200, 12, 7, 1],
    "signals": [0] + fed(settings, custody, RawMessage(.confirmable, SignalCode.pong, 0)) + [10, 12],
    "release": [0] + fed(get, RawMessage(.confirmable, SignalCode.release, 0), get) + [7, 9, 12],
    "abort": [0] + fed(get, RawMessage(.confirmable, SignalCode.abort, 0)),
    "large": [0, 0, 7, 0xf0, 0, 0, 0, 9, 2, 0x30, 11, 200],
    "notifications": [0, 9, 255, 9, 255, 9, 255, 12, 11, 255] + fed(get),
]
for (name, schedule) in streams { try write(schedule, "streams", name) }

/// A datagram or a record, and how it is taken.
func chunk(_ bytes: [UInt8]) -> [UInt8] { [UInt8(bytes.count >> 8), UInt8(bytes.count & 0xff)] + bytes }
func chunk(_ how: UInt8, _ bytes: [UInt8]) -> [UInt8] { [how] + chunk(bytes) }

/// A handshake message in one fragment, and a record of DTLS 1.2.
func handshake(_ type: UInt8, _ number: UInt8, _ body: [UInt8]) -> [UInt8] {
    let length = [0, UInt8(body.count >> 8), UInt8(body.count & 0xff)]
    return [type] + length + [0, number, 0, 0, 0] + length + body
}
func record(_ type: UInt8, _ epoch: UInt8, _ content: [UInt8]) -> [UInt8] {
    [type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1] + chunk(content)
}

let random = [UInt8](repeating: 7, count: 32)
// TLS_PSK_WITH_AES_128_CCM_8, no compression.
let hello = handshake(1, 0, [0xfe, 0xfd] + random + [0, 0, 0, 2, 0xc0, 0xa8, 1, 0])
let keyExchange = handshake(16, 1, [0, 4] + Array("lamp".utf8))
let observe = coap(Method.get, "/ps/a?q=1").with(6, [])
let datagrams: [String: [UInt8]] = [
    "requests": [0] + chunk(4, coap(Method.put, "/ps/a", payload: "x").bytes) + chunk(5, observe.bytes)
        + chunk(4, coap(Method.post, "/ps/a", .nonConfirmable, payload: "y").bytes)
        + chunk(5, RawMessage(.acknowledgement, 0, 1).bytes) + chunk(5, RawMessage(.reset, 0, 2).bytes),
    "long": [0] + chunk(0, coap(Method.put, "/ps/a", payload: "x").bytes) + chunk(4, [0x40, 0, 0, 9]),
    "fragments": [1] + chunk(hello) + chunk(Array(keyExchange.prefix(14))) + chunk(keyExchange),
    "hello": [2] + chunk(record(22, 0, hello)),
    "handshake": [2] + chunk(record(22, 0, hello)) + chunk(record(22, 0, keyExchange) + record(20, 0, [1]))
        + chunk(record(22, 1, random)),
    "session": [3] + chunk(0, record(23, 1, random)) + chunk(1, random) + chunk(2, [0, 0, 1]) + chunk(3, [])
        + chunk(0x6c, random) + chunk(0, record(21, 0, [2, 40])) + chunk(0, record(22, 0, hello)),
]
for (name, schedule) in datagrams { try write(schedule, "datagrams", name) }
