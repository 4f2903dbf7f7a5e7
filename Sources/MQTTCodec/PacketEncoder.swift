package import NIOCore

/// Turns packets into bytes.
///
/// PUBLISH and its acknowledgements, the packets that come by the million, have ways of their own that allocate
/// nothing; the others go through `encode`.
package enum PacketEncoder {
    /// Appends a packet.
    package static func encode(_ packet: Packet, version: ProtocolVersion, into buffer: inout ByteBuffer) {
        var body = ByteBuffer()
        switch packet {
        case .connect(let connect): connect.encode(into: &body)
        case .connack(let connack): connack.encode(version, into: &body)
        case .publish(let publish):
            _ = writePublish(publish, version: version, into: &buffer)
            return
        case .puback(let ack), .pubrec(let ack), .pubrel(let ack), .pubcomp(let ack):
            ack.encode(version, into: &body)
        case .subscribe(let subscribe): subscribe.encode(version, into: &body)
        case .suback(let suback): suback.encode(version, into: &body)
        case .unsubscribe(let unsubscribe): unsubscribe.encode(version, into: &body)
        case .unsuback(let unsuback): unsuback.encode(version, into: &body)
        case .pingreq, .pingresp: break
        case .disconnect(let disconnect): disconnect.encode(version, into: &body)
        case .auth(let auth): auth.encode(into: &body)
        }
        buffer.writeInteger(packet.type.rawValue << 4 | (packet.type.requiredFlags ?? 0))
        buffer.writeVariableByteInteger(body.readableBytes)
        buffer.writeImmutableBuffer(body)
    }

    /// Appends PUBACK, PUBREC, PUBREL or PUBCOMP without properties.
    @inline(__always)
    package static func writeAcknowledgement(
        _ type: PacketType,
        packetID: PacketID,
        reasonCode: ReasonCode,
        version: ProtocolVersion,
        into buffer: inout ByteBuffer
    ) {
        let first = type.rawValue << 4 | (type == .pubrel ? 0b0010 : 0)
        let high = UInt8(truncatingIfNeeded: packetID >> 8)
        let low = UInt8(truncatingIfNeeded: packetID)
        if version == .v3_1_1 || reasonCode == .success {
            // The Reason Code may be left out when it is Success (MQTT 5.0 §3.4.2.1).
            buffer.writeMultipleIntegers(first, 2 as UInt8, high, low)
        } else {
            buffer.writeMultipleIntegers(first, 3 as UInt8, high, low, reasonCode.rawValue)
        }
    }

    /// Appends PUBLISH straight from borrowed bytes.
    ///
    /// - Parameters:
    ///   - topic: a Topic Name's UTF-8; empty when a Topic Alias stands for it.
    ///   - packetID: left out at QoS 0.
    /// - Returns: how many bytes into the packet its Packet Identifier stands; 0 at QoS 0.
    package static func writePublish(
        topic: RawSpan,
        payload: RawSpan,
        properties: PublishProperties?,
        dup: Bool,
        qos: QoS,
        retain: Bool,
        packetID: PacketID,
        version: ProtocolVersion,
        into buffer: inout ByteBuffer
    ) -> Int {
        guard version == .v5 else {
            return writePublish(topic, payload, nil, flags(dup, qos, retain), packetID, into: &buffer)
        }
        let list = properties?.writer.bytes ?? ByteBuffer()
        var lengthAndList = ByteBuffer()
        lengthAndList.writeVariableByteInteger(list.readableBytes)
        lengthAndList.writeImmutableBuffer(list)
        return lengthAndList.withUnsafeReadableBytes { list in
            writePublish(topic, payload, list, flags(dup, qos, retain), packetID, into: &buffer)
        }
    }

    @inline(__always)
    private static func flags(_ dup: Bool, _ qos: QoS, _ retain: Bool) -> UInt8 {
        (dup ? 0b1000 : 0) | qos.rawValue << 1 | (retain ? 1 : 0)
    }

    /// One look at the buffer's memory for the whole packet: each write of NIO's own checks it anew.
    ///
    /// - Parameter properties: the list with its length; nil in 3.1.1.
    @inline(__always)
    private static func writePublish(
        _ topic: RawSpan,
        _ payload: RawSpan,
        _ properties: UnsafeRawBufferPointer?,
        _ flags: UInt8,
        _ packetID: PacketID,
        into buffer: inout ByteBuffer
    ) -> Int {
        let hasPacketID = flags & 0b0110 != 0
        let remaining =
            2 + topic.byteCount + (hasPacketID ? 2 : 0) + (properties?.count ?? 0) + payload.byteCount
        var packetIDOffset = 0
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: remaining + 5) { bytes in
            var writer = RawWriter(bytes)
            writer.byte(PacketType.publish.rawValue << 4 | flags)
            writer.variableByteInteger(remaining)
            writer.twoBytes(UInt16(truncatingIfNeeded: topic.byteCount))
            writer.copy(topic)
            if hasPacketID {
                packetIDOffset = writer.count
                writer.twoBytes(packetID)
            }
            if let properties { writer.copy(properties) }
            writer.copy(payload)
            return writer.count
        }
        return packetIDOffset
    }

    private static func writePublish(
        _ publish: Publish,
        version: ProtocolVersion,
        into buffer: inout ByteBuffer
    ) -> Int {
        let topic = publish.topic?.string ?? ""
        return writePublish(
            topic: topic.utf8Span.span.bytes,
            payload: publish.payload.readableBytesSpan,
            properties: publish.properties.isEmpty ? nil : publish.properties,
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            packetID: publish.packetID ?? 0,
            version: version,
            into: &buffer
        )
    }
}

/// Fills memory that is known to be large enough.
private struct RawWriter {
    private let bytes: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    @inline(__always)
    init(_ bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        bytes[count] = value
        count &+= 1
    }

    @inline(__always)
    mutating func twoBytes(_ value: UInt16) {
        bytes.storeBytes(of: value.bigEndian, toByteOffset: count, as: UInt16.self)
        count &+= 2
    }

    @inline(__always)
    mutating func variableByteInteger(_ value: Int) {
        var left = value
        while left >= 0x80 {
            byte(UInt8(truncatingIfNeeded: left) | 0x80)
            left >>= 7
        }
        byte(UInt8(truncatingIfNeeded: left))
    }

    @inline(__always)
    mutating func copy(_ source: RawSpan) { source.withUnsafeBytes { copy($0) } }

    @inline(__always)
    mutating func copy(_ source: UnsafeRawBufferPointer) {
        guard let from = source.baseAddress, let base = bytes.baseAddress else { return }
        (base + count).copyMemory(from: from, byteCount: source.count)
        count &+= source.count
    }
}
