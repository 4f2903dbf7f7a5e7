import MQTTCodec
import NIOCore

/// A client's end of a WebSocket, by hand.
struct WebSocketClient: Sendable {
    static let handshake = [
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]

    let raw: RawClient
    /// Bytes of the server's answer to the handshake.
    private let headLength: Int

    /// Opens one.
    static func open(
        _ server: TestServer,
        _ subprotocol: String = "mqtt",
        fields: [String] = []
    ) async throws -> WebSocketClient {
        let raw = try await server.connect()
        let fields = (handshake + ["Host: test", "Sec-WebSocket-Protocol: \(subprotocol)"] + fields)
            .joined(separator: "\r\n")
        try await raw.send("GET /mqtt HTTP/1.1\r\n\(fields)\r\n\r\n")
        let head = try await raw.text(containing: "\r\n\r\n")
        guard head.hasPrefix("HTTP/1.1 101") else { throw Unexpected(head) }
        // Frames may have come with it.
        let length = head.utf8.firstRange(of: "\r\n\r\n".utf8).map { head.utf8[..<$0.upperBound].count }
        return WebSocketClient(raw: raw, headLength: length ?? head.utf8.count)
    }

    /// A masked frame.
    static func frame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) -> ByteBuffer {
        let key: [UInt8] = [0x37, 0xfa, 0x21, 0x3d]
        var frame = ByteBuffer()
        frame.writeInteger((isFinal ? 0x80 : 0) | opcode)
        switch payload.count {
        case 0...125: frame.writeInteger(0x80 | UInt8(payload.count))
        case 126...65_535: frame.writeMultipleIntegers(UInt8(0xfe), UInt16(payload.count))
        default: frame.writeMultipleIntegers(UInt8(0xff), UInt64(payload.count))
        }
        frame.writeBytes(key)
        frame.writeBytes(payload.enumerated().map { $0.element ^ key[$0.offset % 4] })
        return frame
    }

    static func bytes(_ packet: Packet) -> [UInt8] {
        var buffer = ByteBuffer()
        PacketEncoder.encode(packet, version: .v5, into: &buffer)
        return Array(buffer.readableBytesView)
    }

    func send(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) async throws {
        try await raw.send(Self.frame(opcode, payload, isFinal: isFinal))
    }

    /// The server's frames, once there are so many.
    func frames(_ count: Int) async throws -> [(opcode: UInt8, payload: [UInt8])] {
        let skipped = headLength
        let bytes = try await raw.bytes { bytes, isClosed in
            isClosed || Self.split(Array(bytes.dropFirst(skipped))).count >= count
        }
        return Self.split(Array(bytes.dropFirst(skipped)))
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

    private static func split(_ bytes: [UInt8]) -> [(opcode: UInt8, payload: [UInt8])] {
        var frames: [(opcode: UInt8, payload: [UInt8])] = []
        var buffer = ByteBuffer(bytes: bytes)
        while let first = buffer.readInteger(as: UInt8.self), let short = buffer.readInteger(as: UInt8.self) {
            var length = Int(short)
            if short == 126 { length = buffer.readInteger(as: UInt16.self).map(Int.init) ?? .max }
            if short == 127 { length = buffer.readInteger(as: UInt64.self).map(Int.init) ?? .max }
            guard let payload = buffer.readBytes(length: length) else { break }
            frames.append((first & 0x0f, payload))
        }
        return frames
    }
}
