package import MQTTCodec
package import NIOCore

/// Bytes and what they mean, with the normative statement that says so.
package struct Vector: Sendable {
    /// What bytes mean.
    package enum Meaning: Sendable {
        /// The packet, which is encoded as just these bytes.
        case packet(Packet)
        /// The packet, which we would encode shorter.
        case decodes(Packet)
        /// No packet the peer may send.
        case error(ReasonCode)
    }

    /// The statement, or the section.
    package let statement: String
    /// What the peers speak.
    package let version: ProtocolVersion
    /// Who reads the bytes.
    package let role: PacketDecoder.Role
    /// See `wire`.
    package let words: String
    /// What a decoder makes of them.
    package let meaning: Meaning

    package init(
        _ statement: String,
        _ version: ProtocolVersion,
        by role: PacketDecoder.Role = .server,
        _ words: String,
        _ meaning: Meaning
    ) {
        self.statement = statement
        self.version = version
        self.role = role
        self.words = words
        self.meaning = meaning
    }

    package init(_ statement: String, by role: PacketDecoder.Role = .server, _ words: String, _ meaning: Meaning) {
        self.init(statement, .v5, by: role, words, meaning)
    }

    /// The bytes.
    package var bytes: ByteBuffer { wire(words) }

    /// All there are, the packets and the mistakes of both peers in both versions.
    package static let all =
        connectPackets + connectErrors + connackPackets + connackErrors + publishPackets + publishErrors
        + acknowledgements + acknowledgementErrors + subscribingPackets + subscribingErrors + shortPackets + shortErrors
}
