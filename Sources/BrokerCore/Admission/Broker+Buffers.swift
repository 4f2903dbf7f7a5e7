import MQTTCodec
import NIOCore

// The accounting of buffers for connections: encoded packets, deliveries handed over, incomplete packets, a pending
// CONNECT. They are counted at the end of a tick, when the output of clients that read it has left.
extension Broker {
    /// The change in bytes of a connection at which its shares are counted again.
    private static var sharingStep: Int { 65_536 }

    /// Counts the present buffers of a connection; an ended one has none.
    @inline(__always)
    func countBuffers(of connection: VirtualConnection) {
        let bytes = connection.bufferedBytes
        if bytes | connection.countedBytes != 0 { recountBuffers(of: connection, bytes) }
    }

    @inline(never)
    private func recountBuffers(of connection: VirtualConnection, _ bytes: Int) {
        accounts.bufferBytes.addToTotal(bytes - connection.countedBytes)
        connection.countedBytes = bytes
        if bytes == 0 || abs(bytes - connection.sharedBytes) > Self.sharingStep { shareBuffers(of: connection) }
        guard case .packets(let stream) = connection.outlet else { return }
        let isShareUsed = bytes > 0 && accounts.bufferBytes.refusal(of: 0, for: connection.holder) != nil
        stream.dropMark = bytes == 0 ? PacketStream.wideDropMark : dropMark(isShareUsed: isShareUsed)
    }

    private func shareBuffers(of connection: VirtualConnection) {
        let holder = connection.holder
        guard connection.sharedBytes != connection.countedBytes else { return }
        accounts.bufferBytes.addToShares(connection.countedBytes - connection.sharedBytes, of: holder)
        connection.sharedBytes = connection.countedBytes
    }

    /// The bytes of output at which QoS 0 messages are dropped for a client that does not read.
    ///
    /// The number is lower when fewer bytes are left for all connections.
    private func dropMark(isShareUsed: Bool) -> Int {
        let left = limits.bufferBytes - accounts.bufferBytes.used
        guard left > 0, !isShareUsed else { return 0 }
        let quarter = max(limits.bufferBytes / 4, 1)
        return left >= quarter
            ? PacketStream.wideDropMark : PacketStream.wideDropMark / 1_024 * (left * 1_024 / quarter)
    }

    /// Whether the given number of bytes may be kept for a connection: a CONNECT, an incomplete packet.
    package func hasRoom(forInput bytes: Int, of connection: VirtualConnection) -> Bool {
        accounts.bufferBytes.refusal(of: bytes, for: connection.holder) == nil
    }

    /// Sets the number of input bytes that the adapter keeps for a connection.
    package func holdsInput(_ bytes: Int, of connection: VirtualConnection) {
        connection.inputBytes = bytes
        countBuffers(of: connection)
    }

    /// Sets the number of bytes that the adapter keeps until the connection ends, or until the next call.
    ///
    /// - Returns: false when there is no room; nothing has changed then.
    package func keeps(_ bytes: Int, for connection: VirtualConnection) -> Bool {
        let more = bytes - connection.keptBytes
        guard more <= 0 || accounts.bufferBytes.refusal(of: more, for: connection.holder) == nil else { return false }
        accounts.bufferBytes.add(more, for: connection.holder)
        connection.keptBytes = bytes
        return true
    }

    /// Counts a connection's bytes for the session's holder from now on.
    func begin(_ connection: VirtualConnection, for holder: Holder) {
        if holder != connection.holder {
            accounts.bufferBytes.addToShares(-connection.sharedBytes - connection.keptBytes, of: connection.holder)
            accounts.bufferBytes.addToShares(connection.keptBytes, of: holder)
            connection.sharedBytes = 0
            connection.holder = holder
        }
        connection.isOver = false
        countBuffers(of: connection)
    }

    /// Removes an ended connection from the counts.
    func forgetBuffers(of connection: VirtualConnection) {
        connection.isOver = true
        connection.inputBytes = 0
        _ = keeps(0, for: connection)
        countBuffers(of: connection)
    }

    // MARK: Wide fan-out

    /// Destinations of one message after which the bytes of output are checked.
    static var fanOutStep: Int { 256 }
    /// Bytes written for many clients in one tick at which they leave before its end.
    private static var tickBytes: Int { 33_554_432 }

    /// Counts the bytes that a message has added to the output of many clients, and flushes when there are too many.
    @inline(never)
    func noteFanOut(_ bytes: Int) {
        output.fannedOut &+= bytes
        guard output.fannedOut > Self.tickBytes else { return }
        output.fannedOut = 0
        // The connections stay on the list, since the end of the tick has further work for them.
        for connection in output.dirty {
            _ = connection.flush(counting: &statistics.bytesSent)
            countBuffers(of: connection)
        }
    }
}

extension VirtualConnection {
    /// Bytes in memory of its buffers.
    @inline(__always)
    var bufferedBytes: Int {
        guard !isOver else { return 0 }
        let output: Int
        switch outlet {
        case .packets(let stream): output = stream.bufferedBytes
        case .messages(let sink): output = sink.bufferedBytes
        }
        return output &+ inputBytes &+ (pendingConnect?.cost ?? 0)
    }
}

extension PacketStream {
    /// Bytes in memory that have not left, or that the network connection has not accepted.
    @inline(__always)
    var bufferedBytes: Int {
        let own = output.readableBytes
        let waiting = unwritten &- own &+ (own > 0 ? output.capacity : 0)
        return waiting &+ max(isWritable ? 0 : lastFlush, unconfirmed < Self.queueMark ? 0 : unconfirmed)
            &+ (held?.bufferedBytes ?? 0)
    }
}

extension PendingConnect {
    /// Bytes in memory.
    var cost: Int {
        Session.cost(clientID: clientID, userName: request.userName, will: request.will)
            + MemoryCost.buffer(request.password)
    }
}
