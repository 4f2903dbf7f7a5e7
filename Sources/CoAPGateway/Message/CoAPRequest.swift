import MQTTCodec

/// A request as it came, its options sorted out; sans I/O.
///
/// An option with a value that no request may have does not stop the reading: `malformed` keeps the answer, since token
/// and Message ID are needed to give it.
///
/// A request is copied on its way: what most have none of is in one box.
package struct CoAPRequest: Sendable {
    private struct Rare: Sendable {
        var eTags: [[UInt8]] = []
        var ifMatch: [[UInt8]] = []
        var requestTags: [[UInt8]] = []
        var echo: [UInt8]?
        var size1: UInt64?
        var malformed: CoAPFailure?
    }

    private indirect enum Box: Sendable {
        case none
        case some(Rare)
    }

    /// Whether it waits for an acknowledgement (RFC 7252 §4.2, §4.3).
    package let isConfirmable: Bool
    /// The method.
    package let code: CoAPCode
    package var messageID: UInt16
    package let token: Token
    /// The same for the same message only, as far as chance allows: a hash of its bytes with a secret.
    package var fingerprint: UInt64 = 0

    /// Uri-Path, one segment each.
    package private(set) var path: [String] = []
    /// Uri-Query, one argument each.
    package private(set) var query: [String] = []
    /// Observe: 0 registers, 1 deregisters (RFC 7641 §2).
    package private(set) var observe: UInt32?
    package private(set) var contentFormat: UInt16?
    package private(set) var accept: UInt16?
    package private(set) var ifNoneMatch = false
    package private(set) var block1: Block?
    package private(set) var block2: Block?
    /// The classes of response that are not wanted, bit by bit (RFC 7967 §2.1).
    package private(set) var noResponse: UInt8 = 0
    /// Bytes of the message, or a few less.
    package private(set) var size: Int
    package var payload: [UInt8] = [] {
        didSet { size += payload.count - oldValue.count }
    }
    private var box = Box.none

    package init(isConfirmable: Bool, code: CoAPCode, messageID: UInt16, token: Token) {
        self.isConfirmable = isConfirmable
        self.code = code
        self.messageID = messageID
        self.token = token
        size = 4 + Int(token.length)
    }

    private var rare: Rare {
        get { if case .some(let rare) = box { rare } else { Rare() } }
        set { box = .some(newValue) }
    }

    /// ETags the client has representations for.
    package var eTags: [[UInt8]] { rare.eTags }
    /// ETags of If-Match; an empty one asks for mere existence (RFC 7252 §5.10.8.1).
    package var ifMatch: [[UInt8]] { rare.ifMatch }
    /// Request-Tag tells apart uploads to one resource (RFC 9175 §3).
    package var requestTags: [[UInt8]] { rare.requestTags }
    /// Bytes the client says the whole body has.
    package var size1: UInt64? { rare.size1 }
    /// What proves that the sender's address is its own (RFC 9175 §2.2).
    package var echo: [UInt8]? { rare.echo }
    /// What is wrong with it.
    package var malformed: CoAPFailure? { rare.malformed }

    /// Without its payload.
    var head: CoAPRequest {
        var head = self
        head.payload = []
        return head
    }

    /// Whether it speaks of blocks that only connections have.
    var hasBERT: Bool { block1?.isBERT ?? false || block2?.isBERT ?? false }

    /// Takes the next option.
    package mutating func take(_ number: UInt16, _ value: RawSpan) {
        size += 1 + value.byteCount
        switch number {
        case OptionNumber.echo: rare.echo = value.array
        case OptionNumber.uriPath:
            if let text = text(value) { path.append(text) }
        case OptionNumber.uriQuery:
            if let text = text(value) { query.append(text) }
        case OptionNumber.observe: observe = UInt32(truncatingIfNeeded: value.unsignedInteger)
        case OptionNumber.contentFormat: contentFormat = UInt16(truncatingIfNeeded: value.unsignedInteger)
        case OptionNumber.accept: accept = UInt16(truncatingIfNeeded: value.unsignedInteger)
        case OptionNumber.eTag: rare.eTags.append(value.array)
        case OptionNumber.ifMatch: rare.ifMatch.append(value.array)
        case OptionNumber.ifNoneMatch: ifNoneMatch = true
        case OptionNumber.block1: block1 = block(value)
        case OptionNumber.block2: block2 = block(value)
        case OptionNumber.size1: rare.size1 = value.unsignedInteger
        case OptionNumber.requestTag: rare.requestTags.append(value.array)
        case OptionNumber.noResponse: noResponse = UInt8(truncatingIfNeeded: value.unsignedInteger)
        default: break
        }
    }

    /// Says what makes it unfit to be carried out, unless something was found before.
    package mutating func refuse(_ failure: CoAPFailure) { rare.malformed = malformed ?? failure }

    /// Whether the client does not want to hear a response of that class (RFC 7967 §2.1).
    func declines(_ code: CoAPCode) -> Bool {
        code.responseClass > 0 && noResponse & (1 << (code.responseClass - 1)) != 0
    }

    /// Strings of options are UTF-8 (RFC 7252 §3.2).
    private mutating func text(_ value: RawSpan) -> String? {
        let text = value.withUnsafeBytes { String(validating: $0, as: UTF8.self) }
        guard let text, !text.utf8.contains(0) else {
            refuse(CoAPFailure(.malformedPacket, "a path or query that is not UTF-8, or has U+0000 in it"))
            return nil
        }
        return text
    }

    private mutating func block(_ value: RawSpan) -> Block? {
        let block = Block(value)
        if block == nil { refuse(CoAPFailure(.malformedPacket, "a Block option of more than 3 bytes")) }
        return block
    }
}

/// Which resource a request is for, as far as block-wise transfers tell resources apart.
package struct ResourceKey: Hashable, Sendable {
    private let path: [String]
    private let query: [String]

    package init(_ request: CoAPRequest) {
        path = request.path
        query = request.query
    }
}

extension RawSpan {
    var array: [UInt8] { withUnsafeBytes { [UInt8]($0) } }
}
