package import MQTTCodec
package import NIOCore

/// What carries a packet stream's bytes; the I/O side's end of it.
package protocol PacketStreamTransport: AnyObject {
    /// Writes and flushes a tick's bytes.
    ///
    /// - Returns: bytes of them that `PacketStream.confirm` will tell of when they have reached the network connection; 0
    ///   when they have, so that whether it takes more is known at once.
    func write(_ bytes: ByteBuffer) -> Int
    /// Closes the network connection after what was written. Nothing is called after it.
    func close()
}

/// The outlet of a virtual connection that takes MQTT bytes: TCP, TLS, WebSocket.
///
/// The core appends encoded packets to `output`; at the end of the tick they leave in one write.
package final class PacketStream {
    /// Bytes of unwritten output beyond which QoS 0 messages are dropped, where there is room.
    static let wideDropMark = 10_485_760
    /// Bytes of unwritten output at which QoS 1 and 2 messages stay in the queue.
    static let queueMark = 256 * 1_024
    /// Bytes on their way to a network connection on another loop at which messages stay in the queue.
    static let unconfirmedMark = 1_048_576
    /// A larger output buffer is given back when it has drained, so that idle connections stay small.
    static let keptCapacity = 4_096

    // First what each packet and flush looks at: it lies in a few lines of cache.
    /// Settled by CONNECT.
    @exclusivity(unchecked) package var version: ProtocolVersion = .v3_1_1
    /// Whether the network connection takes more.
    @exclusivity(unchecked) var isWritable = true
    /// Encoded packets that have not left yet, after those of `earlier`.
    @exclusivity(unchecked) package var output = ByteBuffer()
    @exclusivity(unchecked) private var earlierBytes = 0
    /// The batch that all output waits for; 0 for none.
    @exclusivity(unchecked) private(set) var corkedUntil: UInt64 = 0
    /// The client's Maximum Packet Size, bytes: a larger packet is not sent to it [MQTT-3.1.2-24].
    @exclusivity(unchecked) package var maximumPacketSize = Int.max
    /// Bytes on their way to a network connection on another loop.
    @exclusivity(unchecked) private(set) var unconfirmed = 0
    /// Bytes of unwritten output beyond which QoS 0 messages are dropped and counted; fewer for a client that takes nothing
    /// while all together keep much.
    @exclusivity(unchecked) var dropMark = wideDropMark
    /// Bytes that were handed over last; they wait in the network connection while that takes no more.
    @exclusivity(unchecked) private(set) var lastFlush = 0
    /// Let go of by `close` or `detach`, one of which always comes: the transport in turn holds the stream.
    @exclusivity(unchecked) private var transport: (any PacketStreamTransport)?

    /// Output that leaves first: large packets, in memory that is shared with other clients, and what came before each.
    @exclusivity(unchecked) private var earlier: ContiguousArray<ByteBuffer> = []
    /// What waits for the store, to follow the output.
    @exclusivity(unchecked) var held: HeldOutput?
    /// Whether a PUBLISH is among that; later ones must not overtake it [MQTT-4.6.0-1].
    @exclusivity(unchecked) var holdsPublish = false
    /// nil when the client takes no Topic Aliases.
    @exclusivity(unchecked) var topicAliases: OutboundTopicAliases?
    /// Whether the broker has closed the network connection; nothing is to be read any more.
    package private(set) var isClosed = false

    package init(transport: any PacketStreamTransport) { self.transport = transport }

    /// Bytes of encoded packets that have not left yet.
    @inline(__always)
    package var unwritten: Int { earlierBytes &+ output.readableBytes }

    /// The client takes so many Topic Aliases.
    package func useTopicAliases(maximum: Int) {
        topicAliases = maximum > 0 ? OutboundTopicAliases(maximum: maximum) : nil
    }

    /// Whether more output waits than messages alone can fill: the client goes on asking and takes no answers.
    ///
    /// - Parameter maximumPacketSize: bytes of the last message, which may be begun just below the mark.
    package func isOverfull(maximumPacketSize: Int) -> Bool {
        unwritten + (held?.readableBytes ?? 0) - dropMark - Self.queueMark > maximumPacketSize
    }

    var hasRoomForQueued: Bool {
        isWritable && unwritten < Self.queueMark && unconfirmed < Self.unconfirmedMark
            && (!holdsPublish || held?.readableBytes ?? 0 < Self.queueMark)
    }

    /// Appends a packet, unless it is larger than the client takes: it is discarded then [MQTT-3.1.2-25].
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

    /// Appends a packet, or a shorter one where the client takes none as large: Reason String and User Properties are
    /// left out then [MQTT-3.2.2-19], [MQTT-3.14.2-3].
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

    /// Hands the output over, unless the network connection is full.
    ///
    /// - Returns: its bytes.
    func flush() -> Int {
        let count = unwritten
        guard isWritable, count > 0, corkedUntil == 0, unconfirmed < Self.unconfirmedMark else { return 0 }
        // Taken out first: a write may tell us that there is room for more, which is appended at once.
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

    /// No output leaves before that batch is written.
    func cork(until batch: UInt64) { corkedUntil = max(corkedUntil, batch) }

    /// Lets output leave that waited for batches up to that one.
    func uncork(through batch: UInt64) {
        if corkedUntil <= batch { corkedUntil = 0 }
    }

    /// So many bytes have reached the network connection, and with them whether it takes more.
    func confirm(_ bytes: Int) { unconfirmed = max(unconfirmed - bytes, 0) }

    /// Ends the network connection, after what is still to be written.
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
