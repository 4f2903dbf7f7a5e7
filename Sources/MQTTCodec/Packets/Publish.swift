package import NIOCore

/// PUBLISH (MQTT 5.0 §3.3) as a value of its own.
///
/// The broker reads most of them through `PublishLayout` instead.
package struct Publish: Sendable, Equatable {
    package var dup: Bool
    package var qos: QoS
    package var retain: Bool
    /// nil when a Topic Alias stands for it.
    package var topic: TopicName?
    /// nil at QoS 0 [MQTT-2.2.1-2].
    package var packetID: PacketID?
    package var properties: PublishProperties
    /// A slice of the bytes it came in.
    package var payload: ByteBuffer

    package init(
        topic: TopicName?,
        payload: ByteBuffer = ByteBuffer(),
        dup: Bool = false,
        qos: QoS = .atMostOnce,
        retain: Bool = false,
        packetID: PacketID? = nil,
        properties: PublishProperties = PublishProperties()
    ) {
        self.dup = dup
        self.qos = qos
        self.retain = retain
        self.topic = topic
        self.packetID = packetID
        self.properties = properties
        self.payload = payload
    }
}

extension Publish {
    init(
        _ reader: inout PacketReader,
        _ header: FixedHeader,
        version: ProtocolVersion,
        fromClient: Bool
    ) throws(MalformedPacket) {
        let flags = try PublishFlags(header.flags)
        dup = flags.dup
        qos = flags.qos
        retain = flags.retain
        let name = try reader.string()
        packetID = qos == .atMostOnce ? nil : try reader.packetID()
        properties = PublishProperties()
        if version == .v5 {
            var list = try reader.part(Int(try reader.variableByteInteger()))
            properties = try PublishProperties(&list, fromClient: fromClient)
        }
        if name.isEmpty, version == .v5, properties.topicAlias != nil {
            topic = nil
        } else {
            guard let valid = try? TopicName(name) else {
                throw name.isEmpty && version == .v5
                    ? .protocolError("neither Topic Name nor Topic Alias")
                    : MalformedPacket(.topicNameInvalid, "no Topic Name [MQTT-3.3.2-2], [MQTT-4.7.3-1]")
            }
            topic = valid
        }
        payload = reader.rest()
    }
}

/// The flags of PUBLISH's fixed header (MQTT 5.0 §3.3.1).
struct PublishFlags {
    let dup: Bool
    let qos: QoS
    let retain: Bool

    @inline(__always)
    init(_ flags: UInt8) throws(MalformedPacket) {
        guard let qos = QoS(rawValue: flags >> 1 & 0x03) else { throw .malformed("QoS 3 [MQTT-3.3.1-4]") }
        dup = flags & 0b1000 != 0
        self.qos = qos
        retain = flags & 0b0001 != 0
        if dup, qos == .atMostOnce { throw .malformed("DUP at QoS 0 [MQTT-3.3.1-2]") }
    }
}

/// Where the parts of a PUBLISH lie in its bytes: all that is needed to pass it on without making values of it.
package struct PublishLayout: Sendable {
    package let dup: Bool
    package let qos: QoS
    package let retain: Bool
    /// 0 at QoS 0.
    package let packetID: PacketID
    /// Bytes of the Topic Name, valid; empty only in 5.0, where a Topic Alias must then be among the properties.
    package let topic: Range<Int>
    /// Bytes of the property list without its length; always empty in 3.1.1.
    package let properties: Range<Int>
    /// Bytes of the payload.
    package let payload: Range<Int>

    /// Finds the parts of a whole packet.
    ///
    /// - Throws: on everything that is wrong with it, but for what is wrong inside the property list.
    @inline(__always)
    package static func parse(
        _ packet: RawSpan,
        header: FixedHeader,
        version: ProtocolVersion
    ) throws(MalformedPacket) -> PublishLayout {
        let flags = try PublishFlags(header.flags)
        let end = packet.byteCount
        var position = header.headerLength
        guard position + 2 <= end else { throw short }
        let topicLength = Int(twoBytes(packet, position))
        position += 2
        let topic = position..<(position + topicLength)
        position = topic.upperBound
        guard position <= end else { throw short }
        guard topicLength > 0 ? TopicName.validate(packet.extracting(topic)) : version == .v5 else {
            throw refusal(of: packet.extracting(topic))
        }
        var packetID: PacketID = 0
        if flags.qos != .atMostOnce {
            guard position + 2 <= end else { throw short }
            packetID = twoBytes(packet, position)
            guard packetID != 0 else { throw .protocolError("Packet Identifier 0 [MQTT-2.2.1-3]") }
            position += 2
        }
        var properties = position..<position
        if version == .v5 { properties = try propertyList(packet, at: position) }
        return PublishLayout(
            dup: flags.dup,
            qos: flags.qos,
            retain: flags.retain,
            packetID: packetID,
            topic: topic,
            properties: properties,
            payload: properties.upperBound..<end
        )
    }

    private static var short: MalformedPacket { .malformed("the packet ends inside a field") }

    @inline(never)
    private static func refusal(of topic: RawSpan) -> MalformedPacket {
        guard UTF8Text.isValid(topic) else {
            return .malformed("a Topic Name that is not well-formed UTF-8 without U+0000 [MQTT-1.5.4-1]")
        }
        return MalformedPacket(.topicNameInvalid, "no Topic Name [MQTT-3.3.2-2], [MQTT-4.7.3-1]")
    }

    /// - Returns: the list's bytes after its length.
    @inline(__always)
    private static func propertyList(_ packet: RawSpan, at start: Int) throws(MalformedPacket) -> Range<Int> {
        guard start < packet.byteCount else { throw short }
        let first = packet.unsafeLoad(fromUncheckedByteOffset: start, as: UInt8.self)
        if first < 0x80 {
            let range = (start + 1)..<(start + 1 + Int(first))
            guard range.upperBound <= packet.byteCount else { throw short }
            return range
        }
        var reader = PacketReader(copying: packet.extracting(start..<min(start + 4, packet.byteCount)))
        let length = Int(try reader.variableByteInteger())
        let from = start + ByteBuffer.variableByteIntegerLength(length)
        guard from + length <= packet.byteCount else { throw short }
        return from..<(from + length)
    }

    @inline(__always)
    private static func twoBytes(_ packet: RawSpan, _ offset: Int) -> UInt16 {
        UInt16(bigEndian: packet.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt16.self))
    }
}
