import MQTTCodec
import NIOCore

/// One QoS 0 message in the encodings that its subscribers need; each is made once and then copied.
///
/// An encoding is chosen by protocol version and RETAIN. A message for one session alone is encoded straight into that
/// session's output.
struct PublishTemplates {
    private struct Template {
        var start = 0
        var length = 0
    }

    /// The bytes at which subscribers share a packet's memory: to copy it would take longer than all other work.
    private static let sharedLength = 16_384

    /// The approximate bytes that each subscriber's output takes in memory of its own.
    static func copied(_ publication: Publication, _ topic: RawSpan, _ payload: RawSpan) -> Int {
        let size = publication.wireSize(topic, payload)
        return publication.qos == .atMostOnce && size >= sharedLength ? 0 : size
    }

    private var bytes = ByteBufferAllocator().buffer(capacity: 1_024)
    private var templates = ContiguousArray(repeating: Template(), count: 4)
    private var made: UInt8 = 0
    private var isShared = false

    /// Drops the encodings of the last message.
    ///
    /// - Parameter isShared: whether more than one session gets the next one.
    @inline(__always)
    mutating func begin(isShared: Bool) {
        self.isShared = isShared
        guard made != 0 else { return }
        made = 0
        bytes.clear()
    }

    /// Appends the PUBLISH to the stream's output.
    ///
    /// - Returns: false when the packet would be larger than the client takes [MQTT-3.1.2-24]; nothing is written
    ///   then.
    @inline(__always)
    mutating func write(
        topic: RawSpan,
        payload: RawSpan,
        publication: borrowing Publication,
        now: NIODeadline,
        retain: Bool,
        to stream: PacketStream
    ) -> Bool {
        guard isShared, stream.topicAliases == nil else {
            return stream.appendPublish(
                topic: topic,
                payload: payload,
                properties: publication.wireProperties(at: now),
                dup: false,
                qos: .atMostOnce,
                retain: retain,
                packetID: 0
            )
        }
        let place = (stream.version == .v5 ? 2 : 0) + (retain ? 1 : 0)
        if made & (1 << UInt8(place)) == 0 {
            let start = bytes.readableBytes
            _ = PacketEncoder.writePublish(
                topic: topic,
                payload: payload,
                properties: stream.version == .v5 ? publication.wireProperties(at: now) : nil,
                dup: false,
                qos: .atMostOnce,
                retain: retain,
                packetID: 0,
                version: stream.version,
                into: &bytes
            )
            templates[place] = Template(start: start, length: bytes.readableBytes - start)
            made |= 1 << UInt8(place)
        }
        let template = templates[place]
        guard template.length <= stream.maximumPacketSize else { return false }
        guard template.length < Self.sharedLength else {
            if let packet = bytes.getSlice(at: template.start, length: template.length) { stream.appendShared(packet) }
            return true
        }
        bytes.withUnsafeReadableBytes { all in
            let range = template.start..<(template.start + template.length)
            _ = stream.output.writeBytes(UnsafeRawBufferPointer(rebasing: all[range]))
        }
        return true
    }
}
