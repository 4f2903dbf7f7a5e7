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
        let list: ByteBuffer? = version == .v5 ? properties?.writer.bytes : nil
        let listLength = list?.readableBytes ?? 0
        let remaining =
            2 + topic.byteCount + (qos == .atMostOnce ? 0 : 2) + payload.byteCount
            + (version == .v5 ? ByteBuffer.variableByteIntegerLength(listLength) + listLength : 0)
        let start = buffer.writerIndex
        buffer.reserveCapacity(minimumWritableBytes: remaining + 5)
        buffer.writeInteger(
            PacketType.publish.rawValue << 4 | (dup ? 0b1000 : 0) | qos.rawValue << 1 | (retain ? 1 : 0)
        )
        buffer.writeVariableByteInteger(remaining)
        buffer.writeInteger(UInt16(truncatingIfNeeded: topic.byteCount))
        _ = topic.withUnsafeBytes { buffer.writeBytes($0) }
        var packetIDOffset = 0
        if qos != .atMostOnce {
            packetIDOffset = buffer.writerIndex - start
            buffer.writeInteger(packetID)
        }
        if version == .v5 {
            buffer.writeVariableByteInteger(listLength)
            if let list { buffer.writeImmutableBuffer(list) }
        }
        _ = payload.withUnsafeBytes { buffer.writeBytes($0) }
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
