import HTTPTestSupport
import MQTTCodec
import NIOCore

extension WebSocketClient {
    /// Opens one of the gateway's.
    static func open(
        _ server: TestServer,
        _ subprotocol: String = "mqtt",
        fields: [String] = []
    ) async throws -> WebSocketClient {
        try await open(try await server.connect(), at: "/mqtt", subprotocol, fields: fields)
    }

    static func bytes(_ packet: Packet) -> [UInt8] {
        var buffer = ByteBuffer()
        PacketEncoder.encode(packet, version: .v5, into: &buffer)
        return Array(buffer.readableBytesView)
    }

    /// The server's packets, once there are so many.
    func packets(_ count: Int) async throws -> [Packet] {
        let skipped = headLength
        let bytes = try await raw.bytes { bytes, isClosed in
            isClosed || Self.packets(Array(bytes.dropFirst(skipped))).count >= count
        }
        return Self.packets(Array(bytes.dropFirst(skipped)))
    }

    private static func packets(_ bytes: [UInt8]) -> [Packet] {
        let payload = split(bytes).filter { $0.opcode == 2 }.flatMap(\.payload)
        var buffer = ByteBuffer(bytes: payload)
        var decoder = PacketDecoder(role: .client, version: .v5)
        var packets: [Packet] = []
        while let packet = try? decoder.decode(from: &buffer) { packets.append(packet) }
        return packets
    }
}
