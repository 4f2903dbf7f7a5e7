package import MQTTCodec
package import NIOCore

/// What carries a packet stream's bytes; the I/O side's end of it.
package protocol PacketStreamTransport: AnyObject {
    /// Writes and flushes a tick's bytes.
    func write(_ bytes: ByteBuffer)
    /// Closes the network connection after what was written. Nothing is called after it.
    func close()
}

/// The outlet of a virtual connection that takes MQTT bytes: TCP, TLS, WebSocket.
///
/// The core appends encoded packets to `output`; at the end of the tick they leave in one write.
package final class PacketStream {
    /// Bytes of unwritten output at which QoS 1 and 2 messages stay in the queue.
    static let queueMark = 256 * 1_024
    /// A larger output buffer is given back when it has drained, so that idle connections stay small.
    static let keptCapacity = 4_096

    /// Settled by CONNECT.
    @exclusivity(unchecked) package var version: ProtocolVersion = .v3_1_1
    /// Encoded packets that have not left yet.
    @exclusivity(unchecked) package var output = ByteBuffer()
    /// Whether the network connection takes more.
    @exclusivity(unchecked) var isWritable = true
    /// Bytes of unwritten output beyond which QoS 0 messages are dropped and counted.
    let dropMark: Int
    /// Whether the broker has closed the network connection; nothing is to be read any more.
    package private(set) var isClosed = false
    private weak var transport: (any PacketStreamTransport)?

    package init(transport: any PacketStreamTransport, dropMark: Int = 10_485_760) {
        self.transport = transport
        self.dropMark = dropMark
    }

    /// Whether more output waits than messages alone can fill: the client goes on asking and takes no answers.
    ///
    /// - Parameter maximumPacketSize: bytes of the last message, which may be begun just below the mark.
    package func isOverfull(maximumPacketSize: Int) -> Bool {
        output.readableBytes - dropMark - Self.queueMark > maximumPacketSize
    }

    var hasRoomForQueued: Bool { isWritable && output.readableBytes < Self.queueMark }

    /// Hands the output over, unless the network connection is full.
    func flush() {
        guard isWritable, output.readableBytes > 0 else { return }
        transport?.write(output)
        // The transport has usually written by now, and then clearing reuses the memory.
        if output.capacity > Self.keptCapacity {
            output = ByteBuffer()
        } else {
            output.clear()
        }
    }

    func close() {
        isClosed = true
        if output.readableBytes > 0 { transport?.write(output) }
        output = ByteBuffer()
        transport?.close()
        transport = nil
    }
}
