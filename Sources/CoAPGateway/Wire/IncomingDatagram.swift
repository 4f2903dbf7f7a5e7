/// What a datagram asks of a message layer (RFC 7252 §4.2, §4.3); sans I/O.
package enum IncomingDatagram {
    case request(CoAPRequest)
    /// A confirmable message has arrived.
    case acknowledgement(UInt16)
    /// A message is nothing its recipient knows of.
    case reset(UInt16)
    /// A confirmable message that is to be answered with Reset: a ping, a message in error, or what nobody has asked for.
    case rejected(UInt16)
    /// A request that was too large to be taken in; it is to be answered with 4.13.
    case tooLarge(isConfirmable: Bool, messageID: UInt16, Token)
    /// Nothing.
    case ignored

    /// Looks at a datagram, which must outlive what is read.
    ///
    /// - Parameter isWhole: whether these are all bytes of it.
    package init(_ bytes: UnsafeRawBufferPointer, isWhole: Bool = true) {
        // Of another version, or too short to be a message: ignored without a word (RFC 7252 §3).
        guard bytes.count >= 4, bytes[0] >> 6 == 1, let kind = WireMessage.Kind(rawValue: bytes[0] >> 4 & 3) else {
            self = .ignored
            return
        }
        guard isWhole else {
            self = Self.tooLarge(kind, bytes)
            return
        }
        guard let message = WireMessage(datagram: bytes) else {
            self = kind == .confirmable ? .rejected(UInt16(bytes[2]) << 8 | UInt16(bytes[3])) : .ignored
            return
        }
        self = Self.meaning(of: message, bytes)
    }

    private static func meaning(of message: borrowing WireMessage, _ bytes: UnsafeRawBufferPointer) -> IncomingDatagram
    {
        switch message.kind {
        case .acknowledgement:
            // One with anything but a response in it is none.
            return message.code == .empty || message.code.isResponse ? .acknowledgement(message.messageID) : .ignored
        case .reset: return message.code == .empty ? .reset(message.messageID) : .ignored
        case .confirmable, .nonConfirmable:
            let isConfirmable = message.kind == .confirmable
            if message.code.isRequest {
                var (request, critical) = message.request()
                var hasher = Hasher()
                hasher.combine(bytes: bytes)
                request.fingerprint = UInt64(bitPattern: Int64(hasher.finalize()))
                // A non-confirmable one is rejected, a confirmable one is refused by name (RFC 7252 §5.4.1).
                if isConfirmable || critical == nil { return .request(request) }
                return .rejected(message.messageID)
            }
            return isConfirmable ? .rejected(message.messageID) : .ignored
        }
    }

    private static func tooLarge(_ kind: WireMessage.Kind, _ bytes: UnsafeRawBufferPointer) -> IncomingDatagram {
        let length = Int(bytes[0] & 0x0f)
        let isConfirmable = kind == .confirmable
        let messageID = UInt16(bytes[2]) << 8 | UInt16(bytes[3])
        guard isConfirmable || kind == .nonConfirmable, length <= WireMessage.longestToken, bytes.count >= 4 + length,
            CoAPCode(rawValue: bytes[1]).isRequest
        else { return isConfirmable ? .rejected(messageID) : .ignored }
        let token = Token(RawSpan(_unsafeBytes: bytes[4..<4 + length]))
        return .tooLarge(isConfirmable: isConfirmable, messageID: messageID, token)
    }
}
