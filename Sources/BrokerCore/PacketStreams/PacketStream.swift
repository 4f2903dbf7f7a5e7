package import MQTTCodec
package import NIOCore

/// The transport of a packet stream's bytes, on the I/O side.
package protocol PacketStreamTransport: AnyObject {
    /// Writes and flushes a tick's bytes.
    ///
    /// - Returns: the bytes that `PacketStream.confirm` will report once they have reached the network connection; 0
    ///   when they have reached it already, so that its writability is known at once.
    func write(_ bytes: ByteBuffer) -> Int
    /// Closes the network connection after the pending output; no call follows.
    func close()
}

/// The outlet of a virtual connection that takes MQTT bytes: TCP, TLS, WebSocket.
///
/// The core appends encoded packets to `output`; at the end of the tick they leave in one write.
package final class PacketStream {
    /// The bytes of unwritten output beyond which QoS 0 messages are dropped, while there is enough memory.
    static let wideDropMark = 10_485_760
    /// The bytes of unwritten output at which QoS 1 and 2 messages stay in the queue.
    static let queueMark = 256 * 1_024
    /// The bytes in transit to a network connection on another loop at which messages stay in the queue.
    static let unconfirmedMark = 1_048_576
    /// The capacity up to which an empty output buffer is kept; a larger one is released, so that idle connections
    /// stay small.
    static let keptCapacity = 4_096

    // The properties that each packet and flush reads come first: they lie in a few cache lines.
    /// Settled by CONNECT.
    @exclusivity(unchecked) package var version: ProtocolVersion = .v3_1_1
    /// Whether the network connection takes more bytes.
    @exclusivity(unchecked) var isWritable = true
    /// Encoded packets that have not left yet, after those of `earlier`.
    @exclusivity(unchecked) package var output = ByteBuffer()
    @exclusivity(unchecked) private var earlierBytes = 0
    /// The batch that all output waits for; 0 for none.
    @exclusivity(unchecked) private(set) var corkedUntil: UInt64 = 0
    /// The client's Maximum Packet Size, bytes: a larger packet is not sent to it [MQTT-3.1.2-24].
    @exclusivity(unchecked) package var maximumPacketSize = Int.max
    /// Bytes in transit to a network connection on another loop.
    @exclusivity(unchecked) private(set) var unconfirmed = 0
    /// The bytes of unwritten output beyond which QoS 0 messages are dropped and counted.
    ///
    /// The number is lower for a client that takes no output while all connections together keep much.
    @exclusivity(unchecked) var dropMark = wideDropMark
    /// Bytes of the last flush; they wait in the network connection while it is not writable.
    @exclusivity(unchecked) private(set) var lastFlush = 0
    /// Released by `close` or `detach`, one of which always comes, since the transport also holds the stream.
    @exclusivity(unchecked) private var transport: (any PacketStreamTransport)?

    /// Output that leaves first: large packets, whose memory is shared with other clients, and the output before each
    /// of them.
    @exclusivity(unchecked) private var earlier: ContiguousArray<ByteBuffer> = []
    /// Packets that wait for the store, and leave after the output.
    @exclusivity(unchecked) var held: HeldOutput?
    /// Whether a PUBLISH is held; later ones must not overtake it [MQTT-4.6.0-1].
    @exclusivity(unchecked) var holdsPublish = false
    /// nil when the client takes no Topic Aliases.
    @exclusivity(unchecked) var topicAliases: OutboundTopicAliases?
    /// Whether the broker has closed the network connection; no more input is read then.
    package private(set) var isClosed = false

    package init(transport: any PacketStreamTransport) { self.transport = transport }

    /// Bytes of encoded packets that have not left yet.
    @inline(__always)
    package var unwritten: Int { earlierBytes &+ output.readableBytes }

    /// Enables the given number of Topic Aliases for the client.
    package func useTopicAliases(maximum: Int) {
        topicAliases = maximum > 0 ? OutboundTopicAliases(maximum: maximum) : nil
    }

    /// Whether more output waits than messages alone can cause: the client sends more requests and does not read the
    /// answers.
    ///
    /// - Parameter maximumPacketSize: bytes of the last message, which may begin just below the mark.
    package func isOverfull(maximumPacketSize: Int) -> Bool {
        unwritten + (held?.readableBytes ?? 0) - dropMark - Self.queueMark > maximumPacketSize
    }

    var hasRoomForQueued: Bool {
        isWritable && unwritten < Self.queueMark && unconfirmed < Self.unconfirmedMark
            && (!holdsPublish || held?.readableBytes ?? 0 < Self.queueMark)
    }

    /// Appends a packet; a packet that is larger than the client takes is discarded [MQTT-3.1.2-25].
    ///
    /// - Returns: whether it was appended.
    @discardableResult
    package func append(_ packet: Packet) -> Bool {
        let start = output.writerIndex
        PacketEncoder.encode(packet, version: version, into: &output)
        guard output.writerIndex - start > maximumPacketSize else { return true }
        output.moveWriterIndex(to: start)
        return false
    }

    /// Appends a packet, or a shorter one if it is larger than the client takes.
    ///
    /// The shorter one has no Reason String and no User Properties [MQTT-3.2.2-19], [MQTT-3.14.2-3].
    package func append(_ packet: Packet, otherwise shorter: @autoclosure () -> Packet) {
        if !append(packet) { append(shorter()) }
    }

    /// Appends a large packet without a copy of its own.
    @inline(never)
    func appendShared(_ packet: ByteBuffer) {
        if output.readableBytes > 0 {
            earlierBytes += output.readableBytes
            earlier.append(output)
            output = ByteBuffer()
        }
        earlierBytes += packet.readableBytes
        earlier.append(packet)
    }

    /// Writes the output, unless the network connection is full.
    ///
    /// - Returns: the bytes of the output.
    func flush() -> Int {
        let count = unwritten
        guard isWritable, count > 0, corkedUntil == 0, unconfirmed < Self.unconfirmedMark else { return 0 }
        // Taken out first: the write may report that there is room for more, which is appended at once.
        lastFlush = count
        var leaving = ByteBuffer()
        swap(&leaving, &output)
        if earlierBytes > 0 { flushEarlier() }
        guard leaving.readableBytes > 0 else { return count }
        unconfirmed &+= transport?.write(leaving) ?? 0
        if leaving.capacity <= Self.keptCapacity, output.capacity == 0 {
            // The transport has usually written by now, and then clearing reuses the memory.
            leaving.clear()
            output = leaving
        }
        return count
    }

    @inline(never)
    private func flushEarlier() {
        let leaving = earlier
        earlier = []
        earlierBytes = 0
        for bytes in leaving { unconfirmed &+= transport?.write(bytes) ?? 0 }
    }

    /// Holds all output until that batch is written.
    func cork(until batch: UInt64) { corkedUntil = max(corkedUntil, batch) }

    /// Releases output that waited for batches up to that one.
    func uncork(through batch: UInt64) {
        if corkedUntil <= batch { corkedUntil = 0 }
    }

    /// The given number of bytes have reached the network connection, which reports its writability as well.
    func confirm(_ bytes: Int) { unconfirmed = max(unconfirmed - bytes, 0) }

    /// Closes the network connection after the pending output.
    func close() {
        isClosed = true
        held = nil
        if corkedUntil == 0 {
            flushEarlier()
            if output.readableBytes > 0 { _ = transport?.write(output) }
        }
        forgetOutput()
        transport?.close()
        transport = nil
    }

    /// The network connection has ended by itself.
    package func detach() {
        held = nil
        forgetOutput()
        transport = nil
    }

    private func forgetOutput() {
        output = ByteBuffer()
        earlier = []
        earlierBytes = 0
    }
}
