import CLibcoap

/// A CoAP message that has come: a datagram (RFC 7252 §3), or a message on a connection (RFC 8323 §3.2); sans I/O.
///
/// libcoap takes it apart. What it refuses is looked at a second time, option by option: a message is whole, too, if only
/// the lengths of options are others than they may be, and it has an answer of its own (RFC 7252 §5.4.3).
package struct WireMessage: ~Copyable {
    /// The two bits after the version (RFC 7252 §3).
    package enum Kind: UInt8, Sendable {
        case confirmable, nonConfirmable, acknowledgement, reset
    }

    /// The longest token, bytes.
    package static let longestToken = 8

    /// Messages on connections are confirmable ones.
    package let kind: Kind
    package let code: CoAPCode
    /// 0 on connections, which have none.
    package let messageID: UInt16
    package let token: Token
    private let source: Source

    private enum Source {
        /// libcoap's copy, freed with this.
        case parsed(OpaquePointer)
        /// Options and payload of a message that libcoap refuses; good as long as the bytes that were read.
        case refused(UnsafeRawBufferPointer)
    }

    deinit { if case .parsed(let pdu) = source { coap_delete_pdu(pdu) } }

    /// Reads a datagram, which must outlive the message; nil when it is no message.
    package init?(datagram bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 4, bytes[0] >> 6 == 1, let kind = Kind(rawValue: bytes[0] >> 4 & 3) else { return nil }
        // Nothing comes after the Message ID of an empty message (RFC 7252 §4.1).
        guard bytes[1] != 0 || bytes.count == 4 else { return nil }
        self.init(
            bytes,
            COAP_PROTO_UDP,
            kind,
            code: bytes[1],
            messageID: UInt16(bytes[2]) << 8 | UInt16(bytes[3]),
            tokenAt: 4
        )
    }

    /// Reads a whole message of a connection, its length included, which must outlive it; nil when it is none.
    package init?(frame bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return nil }
        // Bytes of the extended length.
        let extended = [13: 1, 14: 2, 15: 4][first >> 4] ?? 0
        guard bytes.count >= 2 + extended else { return nil }
        self.init(bytes, COAP_PROTO_TCP, .confirmable, code: bytes[1 + extended], messageID: 0, tokenAt: 2 + extended)
    }

    private init?(
        _ bytes: UnsafeRawBufferPointer,
        _ transport: coap_proto_t,
        _ kind: Kind,
        code: UInt8,
        messageID: UInt16,
        tokenAt start: Int
    ) {
        let length = Int(bytes[0] & 0x0f)
        guard length <= Self.longestToken, start + length <= bytes.count else { return nil }
        let parsed = Self.parse(bytes, transport)
        let rest = UnsafeRawBufferPointer(rebasing: bytes[(start + length)...])
        if parsed == nil {
            guard Self.readOptions(rest, { _, _ in true }) != nil else { return nil }
        }
        self.kind = kind
        self.code = CoAPCode(rawValue: code)
        self.messageID = messageID
        token = Token(RawSpan(_unsafeBytes: bytes[start..<start + length]))
        source = parsed.map(Source.parsed) ?? .refused(rest)
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer, _ transport: coap_proto_t) -> OpaquePointer? {
        _ = isSilent
        guard let pdu = coap_pdu_init(COAP_MESSAGE_CON, COAP_EMPTY_CODE, 0, bytes.count) else { return nil }
        guard coap_pdu_parse(transport, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count, pdu) != 0,
            hasAscendingOptions(pdu)
        else {
            coap_delete_pdu(pdu)
            return nil
        }
        return pdu
    }

    /// Whether no option's number is beyond 65,535 (RFC 7252 §3.1): libcoap adds in 16 bits, so that such an option would be
    /// taken for another one.
    private static func hasAscendingOptions(_ pdu: OpaquePointer) -> Bool {
        var iterator = coap_opt_iterator_t()
        coap_option_iterator_init(pdu, &iterator, nil)
        var number: UInt16 = 0
        while let option = coap_option_next(&iterator) {
            guard iterator.number >= number, !hasExcessiveDelta(option) else { return false }
            number = iterator.number
        }
        return true
    }

    /// Whether an option's delta alone is beyond 65,535: 269 and two bytes (RFC 7252 §3.1).
    private static func hasExcessiveDelta(_ option: UnsafePointer<UInt8>) -> Bool {
        option[0] >> 4 == 14 && Int(option[1]) << 8 + Int(option[2]) > 65_535 - 269
    }

    /// libcoap would say on standard error what is wrong with messages.
    private static let isSilent: Bool = {
        coap_set_log_level(coap_log_t(0))
        coap_set_log_handler { _, _ in }
        return true
    }()

    /// Lends its options in order, until `body` returns false.
    package func forEachOption(_ body: (UInt16, RawSpan) -> Bool) {
        switch source {
        case .parsed(let pdu):
            var iterator = coap_opt_iterator_t()
            coap_option_iterator_init(pdu, &iterator, nil)
            while let option = coap_option_next(&iterator) {
                let value = UnsafeRawBufferPointer(start: coap_opt_value(option), count: Int(coap_opt_length(option)))
                guard body(iterator.number, RawSpan(_unsafeBytes: value)) else { return }
            }
        case .refused(let rest): _ = Self.readOptions(rest, body)
        }
    }

    /// Lends its payload, which may be empty.
    package func withPayload<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch source {
        case .parsed(let pdu):
            var length = 0
            var start: UnsafePointer<UInt8>?
            guard coap_get_data(pdu, &length, &start) != 0 else {
                return body(UnsafeRawBufferPointer(start: nil, count: 0))
            }
            return body(UnsafeRawBufferPointer(start: start, count: length))
        case .refused(let rest):
            return body(Self.readOptions(rest) { _, _ in true } ?? UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }

    /// Reads options one by one.
    ///
    /// - Returns: what comes after them; nil when it is malformed (RFC 7252 §3.1).
    private static func readOptions(
        _ bytes: UnsafeRawBufferPointer,
        _ body: (UInt16, RawSpan) -> Bool
    ) -> UnsafeRawBufferPointer? {
        let start = bytes.bindMemory(to: UInt8.self)
        var place = 0
        var number = 0
        while place < bytes.count {
            guard bytes[place] != payloadMarker else {
                guard place + 1 < bytes.count else { return nil }
                return UnsafeRawBufferPointer(rebasing: bytes[(place + 1)...])
            }
            var option = coap_option_t()
            let size = start.baseAddress.map { coap_opt_parse($0 + place, bytes.count - place, &option) } ?? 0
            number += Int(option.delta)
            guard size > 0, let first = start.baseAddress, !hasExcessiveDelta(first + place),
                let exact = UInt16(exactly: number)
            else { return nil }
            let value = UnsafeRawBufferPointer(start: option.value, count: option.length)
            guard body(exact, RawSpan(_unsafeBytes: value)) else { break }
            place += size
        }
        return UnsafeRawBufferPointer(start: nil, count: 0)
    }

    static let payloadMarker: UInt8 = 0xff
}
