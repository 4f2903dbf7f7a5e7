import NIOCore

/// Cuts what comes on a connection into messages (RFC 8323 §3.2); sans I/O.
///
/// It keeps what has come and was not taken yet. What a message says of its length costs nothing: of one that is too large
/// nothing is kept.
package struct StreamFraming {
    /// What stands at the beginning of what has come.
    package enum Step {
        /// It can't be told yet.
        case incomplete
        /// A message, its head included; `withMessage` lends its bytes.
        case message
        /// A message with more bytes than may be; what is still to come of it is passed over.
        case tooLarge(CoAPCode, Token)
        /// No message begins like this; nothing that follows can be read.
        case malformed
    }

    /// What comes before the options.
    private struct Head {
        let code: CoAPCode
        let token: Token
        /// Bytes of the message, the head included.
        let length: Int
    }

    private var bytes = ByteBuffer()
    /// Bytes of the message that stands first, once it is whole.
    private var whole = 0
    /// Bytes that are still to come of a message that is passed over.
    private var excess = 0
    /// Bytes of it that have come.
    private var passedOver = 0

    package init() {}

    /// Bytes of memory it has.
    package var footprint: Int { bytes.capacity }
    /// Whether a message has begun and not ended.
    package var hasPart: Bool { bytes.readableBytes > 0 || excess > 0 }
    /// Bytes that have come of the message that has not ended.
    package var part: Int { bytes.readableBytes + passedOver }

    /// Takes in what has come.
    package mutating func append(_ added: UnsafeRawBufferPointer) {
        let passed = min(excess, added.count)
        excess -= passed
        passedOver = excess == 0 ? 0 : passedOver + passed
        guard passed < added.count else { return }
        bytes.writeBytes(UnsafeRawBufferPointer(rebasing: added[passed...]))
    }

    /// Looks at what comes first, after the message before it was taken.
    ///
    /// - Parameter largest: bytes of the largest message.
    package mutating func next(largest: Int) -> Step {
        bytes.moveReaderIndex(forwardBy: whole)
        whole = 0
        guard let first = bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) else { return .incomplete }
        // Longer tokens are reserved (RFC 8323 §3.2), and so told at once.
        guard Int(first & 0x0f) <= WireMessage.longestToken else { return .malformed }
        guard let head = bytes.withUnsafeReadableBytes({ Self.head($0) }) else { return .incomplete }
        guard head.length <= largest else {
            let come = min(bytes.readableBytes, head.length)
            bytes.moveReaderIndex(forwardBy: come)
            excess = head.length - come
            passedOver = excess == 0 ? 0 : come
            return .tooLarge(head.code, head.token)
        }
        guard head.length <= bytes.readableBytes else { return .incomplete }
        whole = head.length
        return .message
    }

    /// Whether `next` would say something.
    package func hasNext(largest: Int) -> Bool {
        var copy = self
        if case .incomplete = copy.next(largest: largest) { return false }
        return true
    }

    /// Lends the message that `next` has found.
    package func withMessage<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        bytes.withUnsafeReadableBytes { body(UnsafeRawBufferPointer(rebasing: $0.prefix(whole))) }
    }

    /// Gives memory back that nothing is in; after the messages that are there have been taken.
    package mutating func compact() {
        bytes.moveReaderIndex(forwardBy: whole)
        whole = 0
        guard bytes.readableBytes > 0 else { return bytes = ByteBuffer() }
        guard bytes.readerIndex > 0 else { return }
        bytes = ByteBuffer(bytes: bytes.readableBytesView)
    }

    /// Nil while there is not all of it.
    private static func head(_ bytes: UnsafeRawBufferPointer) -> Head? {
        let nibble = bytes[0] >> 4
        let (extension_, base) =
            switch nibble {
            case 13: (1, 13)
            case 14: (2, 269)
            case 15: (4, 65_805)
            default: (0, Int(nibble))
            }
        let token = 2 + extension_
        let end = token + Int(bytes[0] & 0x0f)
        guard bytes.count >= end else { return nil }
        let extended = bytes[1..<1 + extension_].reduce(0) { $0 << 8 | Int($1) }
        return Head(
            code: CoAPCode(rawValue: bytes[token - 1]),
            token: Token(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[token..<end]))),
            length: end + base + extended
        )
    }
}
