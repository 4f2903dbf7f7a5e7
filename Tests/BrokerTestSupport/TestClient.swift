import BrokerCore
package import MQTTCodec
import MQTTProtocol
package import NIOCore

/// An MQTT client in memory: its bytes go into an `MQTTDialogue`, and it decodes strictly what comes back.
package final class TestClient {
    /// What it speaks.
    package let version: ProtocolVersion
    /// The CONNACK it got.
    package private(set) var connack: Connack?
    let test: TestBroker
    private let wire = Wire()
    private let dialogue: MQTTDialogue
    private var decoder: PacketDecoder
    private var inbox: [Packet] = []
    private var lastPacketID: PacketID = 0

    init(_ test: TestBroker, _ version: ProtocolVersion, address: String) {
        self.test = test
        self.version = version
        decoder = PacketDecoder(role: .client, version: version)
        dialogue = MQTTDialogue(
            transport: wire,
            transportProtocol: .mqtt,
            address: ClientAddress("\(address):50000"),
            limits: test.broker.limits
        )
        dialogue.begin(test.broker)
    }

    /// Whether the broker has closed the network connection.
    package var isClosed: Bool { wire.isClosed }
    /// Writes to the network connection so far.
    package var writes: Int { wire.writes }
    /// Bytes that came and are not decoded yet.
    package var unreadBytes: Int { wire.received.readableBytes }
    /// Bytes the broker holds for this client because its network connection is full.
    package var outputBytes: Int { dialogue.outputBytes }

    // MARK: Out

    /// Sends bytes in one piece, and lets the tick end.
    package func send(_ bytes: ByteBuffer) {
        feed(bytes)
        test.flush()
    }

    /// Sends bytes in one piece, within a tick that goes on.
    package func feed(_ bytes: ByteBuffer) { dialogue.receive(bytes, test.broker) }

    /// Sends bytes in pieces of that size, each in a tick of its own.
    package func send(_ bytes: ByteBuffer, cutEvery size: Int) {
        var bytes = bytes
        while let piece = bytes.readSlice(length: min(size, bytes.readableBytes)), piece.readableBytes > 0 {
            send(piece)
        }
    }

    /// Sends a packet.
    package func send(_ packet: Packet) { send(encoded(packet)) }

    /// A packet's bytes in this client's version.
    package func encoded(_ packet: Packet) -> ByteBuffer {
        var bytes = ByteBuffer()
        PacketEncoder.encode(packet, version: version, into: &bytes)
        return bytes
    }

    /// The network connection breaks without DISCONNECT.
    package func drop() {
        dialogue.ended(test.broker)
        test.flush()
    }

    /// The network connection is full, or takes bytes again.
    package func setWritable(_ isWritable: Bool) {
        dialogue.writabilityChanged(isWritable, test.broker)
        test.flush()
    }

    /// From now on each write fills the network connection and drains it again before the write returns, as a socket
    /// with room for a large write does.
    package func flapWritability() {
        wire.onWrite = { [unowned self] in
            dialogue.writabilityChanged(false, test.broker)
            dialogue.writabilityChanged(true, test.broker)
        }
    }

    /// A Packet Identifier it has not used lately.
    package func takePacketID() -> PacketID {
        lastPacketID = lastPacketID == .max ? 1 : lastPacketID + 1
        return lastPacketID
    }

    // MARK: In

    /// Takes everything that came.
    ///
    /// - Throws: what is wrong with it.
    package func packets() throws -> [Packet] {
        try decode()
        defer { inbox = [] }
        return inbox
    }

    /// Takes the first packet for which `choose` gives a value, and leaves the others.
    package func take<Value>(_ choose: (Packet) -> Value?) throws -> Value? {
        try decode()
        for (place, packet) in inbox.enumerated() {
            guard let value = choose(packet) else { continue }
            inbox.remove(at: place)
            return value
        }
        return nil
    }

    private func decode() throws {
        var bytes = wire.received
        while let packet = try decoder.decode(from: &bytes) {
            if case .connack(let connack) = packet { self.connack = connack }
            inbox.append(packet)
        }
        wire.received = bytes
        wire.received.discardReadBytes()
    }
}

/// The network below a test client.
private final class Wire: PacketStreamTransport {
    var received = ByteBuffer()
    var isClosed = false
    var writes = 0
    var onWrite: (() -> Void)?

    func write(_ bytes: ByteBuffer) -> Int {
        guard !isClosed else { return 0 }
        writes += 1
        received.writeImmutableBuffer(bytes)
        onWrite?()
        return 0
    }

    func close() { isClosed = true }
}
