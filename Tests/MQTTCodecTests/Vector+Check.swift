package import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

extension Vector: CustomTestStringConvertible {
    package var testDescription: String { "\(statement) \(version) \(words.prefix(60))" }

    /// Decodes the bytes, and encodes what they mean, and compares both.
    func check() throws {
        let bytes = bytes
        var decoder = PacketDecoder(role: role, version: version)
        var left = bytes
        switch meaning {
        case .error(let reason):
            let error = #expect(throws: MalformedPacket.self) { _ = try decoder.decode(from: &left) }
            #expect(error?.reason == reason)
        case .packet(let packet):
            #expect(try decoder.decode(from: &left) == packet)
            #expect(left.readableBytes == 0)
            var encoded = ByteBuffer()
            PacketEncoder.encode(packet, version: version, into: &encoded)
            #expect(encoded == bytes)
        case .decodes(let packet):
            #expect(try decoder.decode(from: &left) == packet)
            #expect(left.readableBytes == 0)
        }
    }
}

/// Decodes one whole packet.
func decode(
    _ bytes: ByteBuffer,
    _ version: ProtocolVersion = .v5,
    by role: PacketDecoder.Role = .server
) throws(MalformedPacket) -> Packet? {
    var decoder = PacketDecoder(role: role, version: version)
    var bytes = bytes
    return try decoder.decode(from: &bytes)
}

/// The Reason Code decoding fails with; nil when it doesn't.
func failure(
    _ bytes: ByteBuffer,
    _ version: ProtocolVersion = .v5,
    by role: PacketDecoder.Role = .server
) -> ReasonCode? {
    do throws(MalformedPacket) {
        _ = try decode(bytes, version, by: role)
        return nil
    } catch {
        return error.reason
    }
}

/// Decodes PUBLISH as the broker does: by the layout of its bytes.
func decodeByLayout(
    _ packet: RawSpan,
    _ header: FixedHeader,
    _ version: ProtocolVersion
) throws(MalformedPacket) -> Publish {
    let layout = try PublishLayout.parse(packet, header: header, version: version)
    let properties = try PublishProperties.decode(packet.extracting(layout.properties), fromClient: true)
    if layout.topic.isEmpty, properties.topicAlias == nil {
        throw MalformedPacket(.protocolError, "neither Topic Name nor Topic Alias")
    }
    return Publish(
        topic: layout.topic.isEmpty ? nil : TopicName(validated: packet.extracting(layout.topic)),
        payload: packet.extracting(layout.payload).withUnsafeBytes { ByteBuffer(bytes: $0) },
        dup: layout.dup,
        qos: layout.qos,
        retain: layout.retain,
        packetID: layout.qos == .atMostOnce ? nil : layout.packetID,
        properties: properties
    )
}
