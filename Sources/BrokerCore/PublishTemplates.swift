import MQTTCodec
import NIOCore

/// One message in the encodings its subscribers need, each made once and copied from then on.
///
/// An encoding is chosen by protocol version, QoS and RETAIN; the Packet Identifier is patched into the copy.
struct PublishTemplates {
    private struct Template {
        var start = 0
        var length = 0
        var packetIDOffset = 0
    }

    private var bytes = ByteBufferAllocator().buffer(capacity: 1_024)
    private var templates = ContiguousArray(repeating: Template(), count: 12)
    private var made: UInt16 = 0

    /// Forgets the last message.
    @inline(__always)
    mutating func begin() {
        made = 0
        bytes.clear()
    }

    /// Appends the PUBLISH to `output`.
    ///
    /// - Returns: false when it would be larger than `maximumPacketSize` [MQTT-3.1.2-24]; nothing is written then.
    @inline(__always)
    mutating func write(
        topic: RawSpan,
        payload: RawSpan,
        properties: PublishProperties?,
        qos: QoS,
        retain: Bool,
        packetID: PacketID,
        to stream: PacketStream,
        maximumPacketSize: Int
    ) -> Bool {
        let place = (stream.version == .v5 ? 6 : 0) + Int(qos.rawValue) * 2 + (retain ? 1 : 0)
        if made & (1 << UInt16(place)) == 0 {
            make(place, topic, payload, properties, qos: qos, retain: retain, version: stream.version)
        }
        let template = templates[place]
        guard template.length <= maximumPacketSize else { return false }
        let start = stream.output.writerIndex
        bytes.withUnsafeReadableBytes { all in
            let range = template.start..<(template.start + template.length)
            _ = stream.output.writeBytes(UnsafeRawBufferPointer(rebasing: all[range]))
        }
        if packetID != 0 { stream.output.setInteger(packetID, at: start + template.packetIDOffset) }
        return true
    }

    private mutating func make(
        _ place: Int,
        _ topic: RawSpan,
        _ payload: RawSpan,
        _ properties: PublishProperties?,
        qos: QoS,
        retain: Bool,
        version: ProtocolVersion
    ) {
        var template = Template()
        template.start = bytes.readableBytes
        template.packetIDOffset = PacketEncoder.writePublish(
            topic: topic,
            payload: payload,
            properties: properties,
            dup: false,
            qos: qos,
            retain: retain,
            packetID: qos == .atMostOnce ? 0 : 1,
            version: version,
            into: &bytes
        )
        template.length = bytes.readableBytes - template.start
        templates[place] = template
        made |= 1 << UInt16(place)
    }
}
