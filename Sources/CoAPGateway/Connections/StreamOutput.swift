import DequeModule
package import NIOCore

/// What is to be sent on a connection, in order; sans I/O.
///
/// A message becomes bytes when there is room for them: until then a large answer is only a share of the message it carries.
package struct StreamOutput {
    private enum Content {
        case response(CoAPResponse)
        case signal(Signal)
    }

    private struct Item {
        let token: Token
        let content: Content

        /// Bytes of memory, with as much room again as a line of them may have.
        var cost: Int {
            let payload =
                switch content {
                case .response(let response): response.payloadLength
                case .signal(let signal): signal.words.utf8.count
                }
            return 2 * MemoryLayout<Item>.stride + payload
        }
    }

    /// What is written before the options at most, and what libcoap wants to have left behind them.
    private static let slack = 32

    private var waiting: Deque<Item> = []
    private var options = OptionWriter()
    /// Bytes of memory of what waits; the payloads are counted whole, though they are shared.
    package private(set) var bytes = 0

    package init() {}

    package var isEmpty: Bool { waiting.isEmpty }

    package mutating func append(_ response: CoAPResponse, _ token: Token) {
        append(Item(token: token, content: .response(response)))
    }

    package mutating func append(_ signal: Signal, _ token: Token = Token([])) {
        append(Item(token: token, content: .signal(signal)))
    }

    private mutating func append(_ item: Item) {
        waiting.append(item)
        bytes += item.cost
    }

    package mutating func removeAll() {
        waiting = []
        bytes = 0
    }

    /// Writes messages one after the other, until `buffer` has so many bytes or none waits.
    ///
    /// - Parameter largest: bytes of the largest message that the peer takes.
    package mutating func fill(_ buffer: inout ByteBuffer, upTo mark: Int, largest: Int) {
        while buffer.readableBytes < mark, let item = waiting.popFirst() {
            bytes -= item.cost
            write(item, &buffer, largest)
        }
        if waiting.isEmpty, bytes == 0 { waiting = [] }
    }

    private mutating func write(_ item: Item, _ buffer: inout ByteBuffer, _ largest: Int) {
        options.removeAll()
        switch item.content {
        case .response(let response):
            response.write(to: &options)
            // What is wrong need not be said in words.
            let isBrief = response.code.isError && options.encodedLength + response.payloadLength + Self.slack > largest
            let isWritten = response.withPayload { [options] payload in
                Self.write(response.code, item.token, options, isBrief ? Self.nothing : payload, &buffer)
            }
            guard !isWritten else { return }
            _ = Self.write(.internalServerError, item.token, OptionWriter(), Self.nothing, &buffer)
        case .signal(let signal):
            signal.words.utf8Span.span.bytes.withUnsafeBytes {
                _ = Self.write(signal.code, item.token, signal.options, $0, &buffer)
            }
        }
    }

    private static var nothing: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    private static func write(
        _ code: CoAPCode,
        _ token: Token,
        _ options: OptionWriter,
        _ payload: UnsafeRawBufferPointer,
        _ buffer: inout ByteBuffer
    ) -> Bool {
        let room = options.encodedLength + payload.count + slack
        return buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { room in
            guard let frame = WireMessage.writeFrame(code, token, options, payload: payload, into: room),
                let start = room.baseAddress
            else { return 0 }
            start.copyMemory(from: start + frame.lowerBound, byteCount: frame.count)
            return frame.count
        } > 0
    }
}
