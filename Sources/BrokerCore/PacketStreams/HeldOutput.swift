import DequeModule
import MQTTCodec
import NIOCore

/// Encoded packets that wait, in order, until the store has written the changes that they confirm.
struct HeldOutput {
    private var bytes = ByteBuffer()
    private var marks: Deque<(batch: UInt64, end: Int)> = []

    var isEmpty: Bool { marks.isEmpty }
    /// The batch that the last held packet waits for; 0 when nothing is held.
    var lastBatch: UInt64 { marks.last?.batch ?? 0 }
    var readableBytes: Int { bytes.readableBytes }
    /// Bytes in memory.
    var bufferedBytes: Int { bytes.capacity + marks.count * 2 * MemoryLayout<(UInt64, Int)>.size }

    /// Appends the output of `encode`, which leaves once that batch is written and all earlier packets have left.
    mutating func append(until batch: UInt64, _ encode: (inout ByteBuffer) -> Void) {
        encode(&bytes)
        if let last = marks.last, last.batch >= batch {
            marks[marks.count - 1].end = bytes.writerIndex
        } else {
            marks.append((batch, bytes.writerIndex))
        }
    }

    /// Moves the packets that waited for batches up to that one into the output.
    mutating func release(through batch: UInt64, into output: inout ByteBuffer) {
        var end = bytes.readerIndex
        while let first = marks.first, first.batch <= batch {
            end = first.end
            marks.removeFirst()
        }
        if let slice = bytes.readSlice(length: end - bytes.readerIndex) { output.writeImmutableBuffer(slice) }
        if marks.isEmpty { bytes.clear() }
    }
}

extension PacketStream {
    /// Holds the output of `encode` until a batch is written.
    func hold(until batch: UInt64, _ encode: (inout ByteBuffer) -> Void) {
        var waiting = held.take() ?? HeldOutput()
        waiting.append(until: batch, encode)
        held = waiting
    }

    /// Holds a PUBLISH until a batch is written.
    ///
    /// It sets no Topic Alias, since packets that leave earlier might rely on it; it may use an alias that the client
    /// knows already.
    ///
    /// - Returns: false when the packet would be larger than the client takes [MQTT-3.1.2-24]; nothing is written
    ///   then.
    func holdPublish(
        topic: RawSpan,
        payload: RawSpan,
        properties: PublishProperties?,
        dup: Bool,
        qos: QoS,
        retain: Bool,
        packetID: PacketID,
        until batch: UInt64
    ) -> Bool {
        holdsPublish = true
        var isSmallEnough = false
        let alias = topicAliases?.known(topic)
        var wire = properties
        if let alias {
            wire = wire ?? PublishProperties()
            wire?.topicAlias = alias
        }
        let name = alias == nil ? topic : topic.extracting(first: 0)
        hold(until: batch) { bytes in
            let start = bytes.writerIndex
            _ = PacketEncoder.writePublish(
                topic: name,
                payload: payload,
                properties: wire,
                dup: dup,
                qos: qos,
                retain: retain,
                packetID: packetID,
                version: version,
                into: &bytes
            )
            isSmallEnough = bytes.writerIndex - start <= maximumPacketSize
            if !isSmallEnough { bytes.moveWriterIndex(to: start) }
        }
        return isSmallEnough
    }

    /// Releases the packets that waited for batches up to that one.
    ///
    /// - Returns: whether any packet still waits.
    func release(through batch: UInt64) -> Bool {
        uncork(through: batch)
        guard var waiting = held.take() else { return corkedUntil > 0 }
        waiting.release(through: batch, into: &output)
        if waiting.isEmpty { holdsPublish = false } else { held = waiting }
        return held != nil || corkedUntil > 0
    }
}
