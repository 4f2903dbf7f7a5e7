import BrokerCore
import CSockets
import CoreRuntime
import Glibc
import NIOCore

/// A connection's socket, and what belongs to it.
final class Link {
    /// How much of what was to be written the network has taken.
    enum Written {
        case all, some, failed
    }

    let connection: Connection
    let descriptor: Int32
    let address: ClientAddress
    /// Whose share of the listener's connections it uses.
    let holder: Holder
    /// What is kept for it is counted there.
    let account: ConnectionBytes.Account
    private var place: SocketPlaces.Place?

    var security = Security()
    var output: Output
    var end = End()
    /// On the list of those to be attended to.
    var isListed = false
    private var watch = (reads: true, writes: false)

    /// Its TLS.
    struct Security {
        /// Nil in the clear.
        var session: SecureSession?
        /// Who the other side has proven to be.
        var identity: TransportIdentity?
        /// What is said is heard: nothing is encrypted, or the handshake is over.
        var isEstablished = true
        /// TLS has ended: what is said is not heard any more.
        var isMute = false
        fileprivate var hasSaidGoodbye = false
    }

    /// What is written to the socket.
    struct Output {
        /// What the network has not taken yet.
        var unwritten = ByteBuffer()
        /// When the network has taken something last.
        fileprivate var wroteAt: NIODeadline

        fileprivate init(wroteAt: NIODeadline) { self.wroteAt = wroteAt }
    }

    /// What has ended of it.
    struct End {
        /// Nothing more comes.
        var hasEnded = false
        /// The server was told that it is over.
        var isTold = false
        /// The other side was told that nothing more comes.
        fileprivate var isFinished = false
        fileprivate(set) var isClosed = false
    }

    init(
        _ connection: Connection,
        descriptor: Int32,
        address: ClientAddress,
        place: SocketPlaces.Place,
        account: ConnectionBytes.Account
    ) {
        self.connection = connection
        self.descriptor = descriptor
        self.address = address
        self.place = place
        self.account = account
        holder = Holder(network: address.network)
        output = Output(wroteAt: connection.stageSince)
    }

    /// Reads what has come: bytes, 0 at the end, or `stream_nothing` or `stream_failed`.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        stream_read(descriptor, buffer.baseAddress, buffer.count)
    }

    /// Writes what was left before and then `bytes`, and keeps what the network does not take.
    func write(_ bytes: inout ByteBuffer, now: NIODeadline) -> Written {
        if output.unwritten.readableBytes == 0 {
            let written = send(&bytes, now)
            if written == .some { output.unwritten = ByteBuffer(bytes: bytes.readableBytesView) }
            return written
        }
        // Taken out, so that its memory has one owner.
        var waiting = ByteBuffer()
        swap(&waiting, &output.unwritten)
        waiting.writeImmutableBuffer(bytes)
        let written = send(&waiting, now)
        if written != .all { output.unwritten = waiting }
        return written
    }

    private func send(_ bytes: inout ByteBuffer, _ now: NIODeadline) -> Written {
        while bytes.readableBytes > 0 {
            let count = bytes.withUnsafeReadableBytes { stream_write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return count == Int(stream_failed) ? .failed : .some }
            bytes.moveReaderIndex(forwardBy: count)
            output.wroteAt = now
        }
        return .all
    }

    // MARK: TLS

    /// Whether what is to be said is to be taken from the connection.
    var canSpeak: Bool { security.isEstablished || security.isMute || connection.stage == .over }

    /// Keeps what TLS has to be sent.
    func keep(_ bytes: UnsafeRawBufferPointer) { output.unwritten.writeBytes(bytes) }

    /// Puts what is to be said into records, which are to be written; where nobody hears it, it is lost.
    func encrypt(_ bytes: inout ByteBuffer) {
        guard let session = security.session else { return }
        if security.isEstablished, !security.isMute, bytes.readableBytes > 0 {
            _ = bytes.withUnsafeReadableBytes { session.send($0) }
        }
        bytes.clear()
    }

    /// Ends TLS, once.
    ///
    /// - Returns: whether there is something to be written for that.
    func saysGoodbye() -> Bool {
        guard let session = security.session, !security.hasSaidGoodbye else { return false }
        security.hasSaidGoodbye = true
        session.end()
        return output.unwritten.readableBytes > 0
    }

    // MARK: The end

    var isClosed: Bool { end.isClosed }

    /// Tells the other side that nothing more comes.
    func finish() {
        guard !end.isFinished else { return }
        end.isFinished = true
        shutdown(descriptor, Int32(SHUT_WR))
    }

    func close() {
        guard !end.isClosed else { return }
        end.isClosed = true
        output.unwritten = ByteBuffer()
        _ = account.hold(0)
        place = nil
        Glibc.close(descriptor)
    }

    /// Whether the other side takes nothing, or does not close after our final bytes.
    func isStuck(_ now: NIODeadline, patience: TimeAmount, closeTime: TimeAmount) -> Bool {
        if connection.stage == .over {
            let since = connection.stageSince
            return max(since, output.wroteAt) + closeTime <= now || since + patience <= now
        }
        return output.unwritten.readableBytes > 0 && output.wroteAt + patience <= now
    }

    /// What it is to be watched for from now on.
    ///
    /// - Returns: whether that is something else than before.
    func changesWatch(reads: Bool, writes: Bool) -> Bool {
        guard reads != watch.reads || writes != watch.writes else { return false }
        (watch.reads, watch.writes) = (reads, writes)
        return true
    }
}
