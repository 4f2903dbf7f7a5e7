import MQTTCodec
import NIOCore

// What is kept for connections that don't take it: encoded packets, deliveries handed over, half a packet, a CONNECT that
// is looked at. It is counted at the end of a tick, when what healthy clients get has left.
extension Broker {
    /// Bytes that a connection may have more or less before its shares are counted again.
    private static var sharingStep: Int { 65_536 }

    /// Counts what a connection keeps now; one that is over keeps nothing.
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

    /// Bytes of output at which QoS 0 is dropped for a client that does not take what it is sent: the fewer, the less is
    /// left for all.
    private func dropMark(isShareUsed: Bool) -> Int {
        let left = limits.bufferBytes - accounts.bufferBytes.used
        guard left > 0, !isShareUsed else { return 0 }
        let quarter = max(limits.bufferBytes / 4, 1)
        return left >= quarter
            ? PacketStream.wideDropMark : PacketStream.wideDropMark / 1_024 * (left * 1_024 / quarter)
    }

    /// Whether so much more may be kept for a connection: a CONNECT, half a packet.
    package func hasRoom(forInput bytes: Int, of connection: VirtualConnection) -> Bool {
        accounts.bufferBytes.refusal(of: bytes, for: connection.holder) == nil
    }

    /// The adapter keeps so many bytes of what the client has sent.
    package func holdsInput(_ bytes: Int, of connection: VirtualConnection) {
        connection.inputBytes = bytes
        countBuffers(of: connection)
    }

    /// The adapter keeps so many bytes for as long as the connection lasts, or until it says something else.
    ///
    /// - Returns: false when there is no room; nothing has changed then.
    package func keeps(_ bytes: Int, for connection: VirtualConnection) -> Bool {
        let more = bytes - connection.keptBytes
        guard more <= 0 || accounts.bufferBytes.refusal(of: more, for: connection.holder) == nil else { return false }
        accounts.bufferBytes.add(more, for: connection.holder)
        connection.keptBytes = bytes
        return true
    }

    /// The connection has a session: what it keeps counts for the session's holder.
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

    /// The connection is over: nothing is kept for it.
    func forgetBuffers(of connection: VirtualConnection) {
        connection.isOver = true
        connection.inputBytes = 0
        _ = keeps(0, for: connection)
        countBuffers(of: connection)
    }

    // MARK: Wide fan-out

    /// Destinations of one message after which output is looked at.
    static var fanOutStep: Int { 256 }
    /// Bytes written for many clients in one tick at which they leave before its end.
    private static var tickBytes: Int { 33_554_432 }

    /// A message was written for so many clients: lets output leave before there is too much of it.
    @inline(never)
    func noteFanOut(_ bytes: Int) {
        output.fannedOut &+= bytes
        guard output.fannedOut > Self.tickBytes else { return }
        output.fannedOut = 0
        // They stay on the list: the end of the tick has more to do for them.
        for connection in output.dirty {
            _ = connection.flush(counting: &statistics.bytesSent)
            countBuffers(of: connection)
        }
    }
}

extension VirtualConnection {
    /// Bytes in memory of what is kept for it.
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
    /// Bytes in memory that have not left, or that the network connection has not taken.
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
