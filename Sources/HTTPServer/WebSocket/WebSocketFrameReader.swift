package import NIOCore

/// Reads a client's frames (RFC 6455 §5) and takes the masking off.
///
/// The payload of data frames is handed on as it comes, since MQTT packets know no frames: neither a frame nor a message
/// is gathered here. Only a control frame is, 125 bytes at most.
package struct WebSocketFrameReader {
    /// What a peer's messages are.
    package enum Form: Sendable {
        /// Binary messages, whose ends have no meaning [MQTT-6.0.0-1], [MQTT-6.0.0-2].
        case binary
        /// Text messages, whose ends are told.
        case text
    }

    /// Something that has come.
    package enum Event: Equatable {
        /// The end of a text message.
        case message
        case ping(ByteBuffer)
        case pong
        /// What the peer closes with; nil when it doesn't say.
        case close(UInt16?)
    }

    private enum Opcode: UInt8 {
        case continuation = 0
        case text = 1
        case binary = 2
        case close = 8
        case ping = 9
        case pong = 10

        var isControl: Bool { rawValue >= 8 }
    }

    private struct Frame {
        let opcode: Opcode
        let isFinal: Bool
        var remaining: Int
        /// The masking key, first byte lowest, turned so that it fits the next payload byte.
        var mask: UInt32
    }

    let form: Form
    /// Bytes of all of a message's frames together.
    let maximumMessageSize: Int
    /// The header that has not wholly come.
    private var header: [UInt8] = []
    private var frame: Frame?
    private var control = ByteBuffer()
    /// Bytes of the fragmented message that is under way; nil between messages.
    private var messageSize: Int?

    package init(form: Form = .binary, maximumMessageSize: Int) {
        self.form = form
        self.maximumMessageSize = maximumMessageSize
    }

    /// Reads until a control frame or the end of a text message has come, or the input is used up.
    ///
    /// - Parameter output: the payload of data frames is appended to it.
    /// - Returns: nil when the input is used up.
    /// - Throws: what the peer did wrong; nothing can be read after that.
    package mutating func read(
        _ input: inout ByteBuffer,
        into output: inout ByteBuffer
    ) throws(WebSocketFailure) -> Event? {
        while true {
            if frame == nil {
                guard try readHeader(&input) else { return nil }
            }
            guard var current = frame else { return nil }
            let count = min(current.remaining, input.readableBytes)
            if current.opcode.isControl {
                control.writeUnmasked(&input, count, &current.mask)
            } else {
                output.writeUnmasked(&input, count, &current.mask)
            }
            current.remaining -= count
            guard current.remaining == 0 else {
                frame = current
                return nil
            }
            frame = nil
            if current.opcode.isControl { return try finishControl(current.opcode) }
            if form == .text, current.isFinal { return .message }
        }
    }

    /// - Returns: false when more bytes are needed.
    private mutating func readHeader(_ input: inout ByteBuffer) throws(WebSocketFailure) -> Bool {
        while header.count < headerLength {
            guard let byte = input.readInteger(as: UInt8.self) else { return false }
            header.append(byte)
        }
        defer { header.removeAll(keepingCapacity: true) }
        guard header[1] & 0x80 != 0 else { throw .protocolError }
        let lengthBytes = header[2..<(header.count - 4)]
        let length = lengthBytes.isEmpty ? UInt64(header[1] & 0x7f) : lengthBytes.reduce(0) { $0 << 8 | UInt64($1) }
        // The shortest form there is, and the highest bit clear (RFC 6455 §5.2).
        let isShortest = lengthBytes.count == 8 ? length > 0xffff : lengthBytes.count == 2 ? length > 125 : true
        guard header[0] & 0x70 == 0, let opcode = Opcode(rawValue: header[0] & 0x0f), isShortest,
            let size = Int(exactly: length)
        else { throw .protocolError }
        let isFinal = header[0] & 0x80 != 0
        if opcode.isControl {
            guard isFinal, size <= 125 else { throw .protocolError }
            control = ByteBuffer()
        } else {
            try beginData(opcode, isFinal, size)
        }
        let mask = header[(header.count - 4)...].reversed().reduce(0) { $0 << 8 | UInt32($1) }
        frame = Frame(opcode: opcode, isFinal: isFinal, remaining: size, mask: mask)
        return true
    }

    /// Bytes of a header with its masking key, as far as it has told.
    private var headerLength: Int {
        // A frame without a mask is an error (RFC 6455 §5.1), and that is known by then.
        guard header.count >= 2, header[1] & 0x80 != 0 else { return 2 }
        switch header[1] & 0x7f {
        case 126: return 8
        case 127: return 14
        default: return 6
        }
    }

    private mutating func beginData(_ opcode: Opcode, _ isFinal: Bool, _ size: Int) throws(WebSocketFailure) {
        guard opcode != (form == .binary ? .text : .binary) else { throw .unacceptable }
        guard (opcode == .continuation) == (messageSize != nil) else { throw .protocolError }
        let sizeSoFar = messageSize ?? 0
        guard size <= maximumMessageSize - sizeSoFar else { throw .messageTooLarge }
        messageSize = isFinal ? nil : sizeSoFar + size
    }

    private mutating func finishControl(_ opcode: Opcode) throws(WebSocketFailure) -> Event {
        switch opcode {
        case .ping: return .ping(control)
        case .close:
            guard control.readableBytes > 0 else { return .close(nil) }
            guard let code = control.readInteger(as: UInt16.self), WebSocketFailure.isValid(code) else {
                throw .protocolError
            }
            guard control.isUTF8 else { throw .notUTF8 }
            return .close(code)
        default: return .pong
        }
    }
}

extension ByteBuffer {
    /// Moves bytes over and takes the masking off on the way (RFC 6455 §5.3).
    ///
    /// - Parameter mask: turned by as many bytes as were moved.
    fileprivate mutating func writeUnmasked(_ input: inout ByteBuffer, _ count: Int, _ mask: inout UInt32) {
        guard count > 0 else { return }
        let key = mask
        writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            input.withUnsafeReadableBytes { source in
                // In memory order the key's first byte is its lowest.
                let word = UInt64(key) | UInt64(key) << 32
                var place = 0
                while place + 8 <= count {
                    let masked = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: place, as: UInt64.self))
                    target.storeBytes(of: (masked ^ word).littleEndian, toByteOffset: place, as: UInt64.self)
                    place += 8
                }
                while place < count {
                    target[place] = source[place] ^ UInt8(truncatingIfNeeded: key >> (UInt32(place % 4) * 8))
                    place += 1
                }
            }
            return count
        }
        input.moveReaderIndex(forwardBy: count)
        let turn = UInt32(count % 4) * 8
        mask = turn == 0 ? key : key >> turn | key << (32 - turn)
    }
}
