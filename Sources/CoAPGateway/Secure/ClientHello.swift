/// The beginning of a DTLS handshake, as far as it is read before anything is kept (RFC 6347 §4.2).
package struct ClientHello: Equatable, Sendable {
    /// What a datagram's first record is, by the types it names; its length is looked at after that.
    package enum Record: Equatable, Sendable {
        case hello(ClientHello)
        /// Nothing that this is: cut, broken, in fragments, or a message that no client sends.
        case useless
        /// A record that belongs to a session or handshake.
        case other
    }

    /// Of the client's random bytes, what tells one of its attempts from another.
    package let random: UInt64

    private static let recordHeader = 13
    private static let handshakeHeader = 12
    /// Version, random, the lengths of session, cookie, cipher suites and compression methods.
    private static let shortestBody = 2 + 32 + 1 + 1 + 2 + 1

    /// Judges a datagram that has come to a DTLS listener.
    package static func judge(_ bytes: UnsafeRawBufferPointer) -> Record {
        // change_cipher_spec, alert, handshake, application_data, of version 1.x (RFC 6347 §4.1).
        guard bytes.count > recordHeader, (20...23).contains(bytes[0]), bytes[1] == 0xfe else { return .useless }
        let isInTheClear = bytes[3] == 0 && bytes[4] == 0
        guard bytes[0] == 22, isInTheClear else { return .other }
        guard bytes[recordHeader] == 1 else { return .other }
        return read(bytes).map(Record.hello) ?? .useless
    }

    /// Nil for one that is cut, broken or in fragments.
    private static func read(_ bytes: UnsafeRawBufferPointer) -> ClientHello? {
        let body = recordHeader + handshakeHeader
        guard bytes.count >= body + shortestBody else { return nil }
        let record = Int(bytes[11]) << 8 | Int(bytes[12])
        let length = number(bytes, recordHeader + 1)
        let fragmentOffset = number(bytes, recordHeader + 6)
        let fragment = number(bytes, recordHeader + 9)
        guard recordHeader + record <= bytes.count, fragmentOffset == 0, fragment == length,
            handshakeHeader + fragment <= record, fragment >= shortestBody
        else { return nil }
        let random = bytes[(body + 2 + 4)..<(body + 2 + 12)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return ClientHello(random: random)
    }

    /// Three bytes in network byte order.
    private static func number(_ bytes: UnsafeRawBufferPointer, _ place: Int) -> Int {
        Int(bytes[place]) << 16 | Int(bytes[place + 1]) << 8 | Int(bytes[place + 2])
    }
}
