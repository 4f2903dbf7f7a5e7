package import NIOCore

/// A client's end of a WebSocket, by hand.
package struct WebSocketClient: Sendable {
    package static let handshake = [
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]

    package let raw: RawClient
    /// Bytes of the server's answer to the handshake.
    package let headLength: Int

    /// Opens one.
    package static func open(
        _ raw: RawClient,
        at path: String,
        _ subprotocol: String,
        fields: [String] = []
    ) async throws -> WebSocketClient {
        let fields = (handshake + ["Host: test", "Sec-WebSocket-Protocol: \(subprotocol)"] + fields)
            .joined(separator: "\r\n")
        try await raw.send("GET \(path) HTTP/1.1\r\n\(fields)\r\n\r\n")
        let head = try await raw.text(containing: "\r\n\r\n")
        guard head.hasPrefix("HTTP/1.1 101") else { throw Unexpected(head) }
        // Frames may have come with it.
        let length = head.utf8.firstRange(of: "\r\n\r\n".utf8).map { head.utf8[..<$0.upperBound].count }
        return WebSocketClient(raw: raw, headLength: length ?? head.utf8.count)
    }

    /// A masked frame.
    package static func frame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) -> ByteBuffer {
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

    package func send(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) async throws {
        try await raw.send(Self.frame(opcode, payload, isFinal: isFinal))
    }

    /// The server's frames, once there are so many.
    package func frames(_ count: Int) async throws -> [(opcode: UInt8, payload: [UInt8])] {
        let skipped = headLength
        let bytes = try await raw.bytes { bytes, isClosed in
            isClosed || Self.split(Array(bytes.dropFirst(skipped))).count >= count
        }
        return Self.split(Array(bytes.dropFirst(skipped)))
    }

    package static func split(_ bytes: [UInt8]) -> [(opcode: UInt8, payload: [UInt8])] {
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
