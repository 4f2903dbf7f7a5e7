/// The beginning of a DTLS handshake, as far as it is read before anything is kept (RFC 6347 §4.2).
package struct ClientHello: Equatable, Sendable {
    /// What a datagram's first record is, by the types it names; its length is looked at after that.
    package enum Record: Equatable, Sendable {
        case hello(ClientHello)
        /// No record, but what may be CoAP in the clear.
        case clear
        /// Nothing that this is: cut, broken, in fragments, or a message that no client sends.
        case useless
        /// A record that belongs to a session or handshake.
        case other
    }

    /// Of the client's random bytes, what tells one of its attempts from another.
    package let random: UInt64

    /// Of a handshake message (RFC 6347 §4.2.2).
    private static let header = 12
    /// Version, random, the lengths of session, cookie, cipher suites and compression methods.
    private static let shortestBody = 2 + 32 + 1 + 1 + 2 + 1

    /// Judges a datagram that has come to a DTLS listener.
    package static func judge(_ bytes: UnsafeRawBufferPointer) -> Record {
        guard let length = DatagramRecord.length(bytes) else { return isCoAP(bytes) ? .clear : .useless }
        guard DatagramRecord.isOpenHandshake(bytes) else { return .other }
        guard bytes[DatagramRecord.header] == 1 else { return .other }
        return read(UnsafeRawBufferPointer(rebasing: bytes[DatagramRecord.header..<length])).map(Record.hello)
            ?? .useless
    }

    /// Version 1 in the two highest bits, where a record has its type (RFC 7252 §3).
    private static func isCoAP(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.count >= 4 && bytes[0] >> 6 == 1 }

    /// Reads a record's content; nil for one that is cut, broken or in fragments.
    private static func read(_ message: UnsafeRawBufferPointer) -> ClientHello? {
        guard message.count >= header + shortestBody else { return nil }
        let (length, fragmentOffset, fragment) = (number(message, 1), number(message, 6), number(message, 9))
        guard fragmentOffset == 0, fragment == length, header + fragment <= message.count, fragment >= shortestBody
        else { return nil }
        let random = message[(header + 2 + 4)..<(header + 2 + 12)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return ClientHello(random: random)
    }

    /// Three bytes in network byte order.
    private static func number(_ bytes: UnsafeRawBufferPointer, _ place: Int) -> Int {
        Int(bytes[place]) << 16 | Int(bytes[place + 1]) << 8 | Int(bytes[place + 2])
    }
}
