import BrokerCore
import CSockets
import CoreRuntime
import NIOCore

/// CoAP's message layer over connections (RFC 8323): a socket that listens, and any number of connections.
///
/// Confined to the thread that serves it, once that has begun.
final class ConnectionLayer {
    /// What listeners share with each other.
    struct Shared {
        /// Places for network connections.
        let places: SocketPlaces
        /// What connections keep.
        let bytes: ConnectionBytes
        let refusals: Refusals
    }

    /// The connections.
    struct LinkTable {
        /// Those that are there, and those that are closed while events name them.
        var links: [EndpointID: Link] = [:]
        /// The number of the last one; none is used again.
        var lastID = UInt(stream_listening)
        /// Those with something to be done at the next turn.
        fileprivate(set) var listed: [Link] = []
        /// The number of the last Ping that somebody waits for.
        fileprivate(set) var lastPing: UInt = 0
    }

    /// Whether connections are accepted.
    struct Accepting {
        /// The listener's own connections, of which one address has its share.
        var room: Quota
        var isListening = true
        /// Whether nobody is to be accepted any more.
        var isStopping = false
        /// When connections are accepted again.
        var pausedUntil = NIODeadline.distantPast
    }

    /// What encrypts them.
    struct TLS {
        /// Nil where nothing is encrypted.
        let context: SecureContext?
        let security: CoAPSecurity?
        /// Those under way.
        var handshakes: Handshakes
    }

    /// Events taken in one turn.
    private static let mostEvents = 64
    /// Connections accepted in one turn.
    static let acceptedAtATime = 64
    /// Bytes read from one connection in one turn.
    private static let readAtATime = 65_536
    /// While a handshake is under way, which is to have less.
    private static let readOfHandshake = 16_384
    /// How long nobody is accepted once there is no room, if none is made before.
    static let pause = TimeAmount.milliseconds(500)
    /// How often time limits are looked at.
    private static let look = TimeAmount.seconds(1)
    /// How long the other side may take to end a connection after our final bytes.
    private static let closeTime = TimeAmount.seconds(2)

    let wakeUp: WakeUp
    var tls: TLS
    var streams: streams_t
    let bounds: Connection.Bounds
    let shared: Shared
    var accepting: Accepting
    var table = LinkTable()
    var events: [LayerEvent] = []
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: readAtATime, alignment: 16)
    /// What is being written; what the network does not take is kept with its connection.
    private var output = ByteBuffer()
    private var looksAt = NIODeadline.distantPast
    var now = NIODeadline.now()

    /// Listens.
    ///
    /// - Throws: when the address can't be had.
    init(_ configuration: CoAPListener.Configuration, limits: Limits, shared: Shared) throws(ListenFailed) {
        let failure = configuration.listenFailed
        guard let port = UInt16(exactly: configuration.port) else { throw failure("no such port") }
        guard let wakeUp = WakeUp() else { throw failure("too many open files") }
        tls = TLS(
            context: try Self.secure(configuration, limits).mapError { failure($0.reason) }.get(),
            security: configuration.security,
            handshakes: Handshakes(most: configuration.handshakes)
        )
        var streams = streams_t()
        let result = streams_open(configuration.host, port, wakeUp.descriptor, &streams)
        guard result == 0 else { throw failure(bindingWords(result: result)) }
        self.streams = streams
        self.wakeUp = wakeUp
        self.shared = shared
        accepting = Accepting(room: Quota(Quota.Limit(total: configuration.idleEndpoints)))
        // What needs more comes in blocks: so much is nobody's before it is known whose.
        var bounds = Connection.Bounds(
            largestMessage: max(SignallingMessage.baseSize, min(limits.maximumPacketSize, 1_048_576))
        )
        bounds.greeting = .seconds(Int64(limits.connectTimeout))
        bounds.idle = .seconds(Int64(configuration.idleTimeout))
        self.bounds = bounds
    }

    deinit { input.deallocate() }

    var port: Int { Int(sockets_port(streams.listening)) }

    var security: CoAPSecurity? { tls.security }

    // MARK: The thread's turn

    func enter() { now = .now() }

    func turn(timeout: Int?) -> [LayerEvent] {
        attendListed()
        if !accepting.isListening, !accepting.isStopping, accepting.pausedUntil <= now { listen(true) }
        let isIdle = table.listed.isEmpty && events.isEmpty
        let timeout = isIdle ? timeout.map { Int32(clamping: $0) } ?? -1 : 0
        withUnsafeTemporaryAllocation(of: stream_event_t.self, capacity: Self.mostEvents) { ready in
            let count = streams_wait(&streams, ready.baseAddress, Int32(ready.count), timeout)
            now = .now()
            for event in ready.prefix(Int(count)) { took(event) }
        }
        return takeEvents()
    }

    private func took(_ event: stream_event_t) {
        switch event.id {
        case UInt64(stream_wake): wakeUp.clear()
        case UInt64(stream_listening): accept()
        default:
            guard let link = table.links[EndpointID(rawValue: UInt(event.id))], !link.isClosed else { return }
            if event.is_readable {
                read(link)
            } else if event.is_broken {
                link.connection.broke(now: now)
            }
            attend(link)
        }
    }

    private func attendListed() {
        guard !table.listed.isEmpty else { return }
        let attended = table.listed
        table.listed.removeAll(keepingCapacity: true)
        for link in attended { attend(link) }
    }

    func takeEvents() -> [LayerEvent] {
        guard !events.isEmpty else { return [] }
        defer {
            events = []
            events.reserveCapacity(64)
        }
        return events
    }

    var nextDeadline: NIODeadline? {
        let look = table.links.isEmpty ? NIODeadline.distantFuture : looksAt
        let listens = accepting.isListening || accepting.isStopping ? NIODeadline.distantFuture : accepting.pausedUntil
        let next = min(look, listens, tls.handshakes.dueAt)
        return next == .distantFuture ? nil : next
    }

    func maintain(now: NIODeadline) -> [LayerEvent] {
        self.now = now
        goOnWithHandshakes()
        guard looksAt <= now else { return takeEvents() }
        looksAt = now + Self.look
        for link in table.links.values where !link.isClosed {
            link.connection.expire(now: now)
            if link.isStuck(now, patience: bounds.patience, closeTime: Self.closeTime) {
                link.connection.broke(now: now)
            }
            if link.connection.stage == .over || !link.connection.hasSaidAll { attend(link) }
        }
        return takeEvents()
    }

    func done(_ event: LayerEvent) {
        switch event {
        case .received(_, let endpoint), .lost(let endpoint): release(endpoint)
        default: break
        }
    }

    func close() {
        for link in table.links.values where !link.isClosed {
            link.connection.release("the broker stops", now: now)
            write(link)
            link.finish()
            close(link)
        }
        streams_close(&streams)
    }

    // MARK: One connection

    private func read(_ link: Link) {
        let room = link.security.isEstablished ? input[...] : input.prefix(Self.readOfHandshake)
        switch link.read(into: UnsafeMutableRawBufferPointer(rebasing: room)) {
        case 0: link.end.hasEnded = true
        case let count where count > 0: took(UnsafeRawBufferPointer(rebasing: input[..<count]), of: link)
        case Int(stream_failed): link.connection.broke(now: now)
        default: break
        }
    }

    /// Does what there is to do: reads messages as far as they may be, and writes what is to be sent.
    func attend(_ link: Link) {
        link.isListed = false
        guard !link.isClosed else { return }
        let connection = link.connection
        connection.goOn(now: now) {
            events.append(.received($0, connection.id))
        } confirmed: {
            events.append(.finished($0))
        }
        // What came before the end is read before it.
        if link.end.hasEnded || link.security.isMute, connection.isReading, !connection.canGoOn {
            connection.leave(now: now)
        }
        write(link)
        account(for: link)
        if connection.stage == .over { end(link) }
        guard !link.isClosed else { return }
        if connection.takesRoomBack() { events.append(.drained(connection.id)) }
        if connection.canGoOn { list(link) }
        watch(link)
    }

    private func write(_ link: Link) {
        while !link.connection.isBroken {
            output.clear()
            if link.output.unwritten.readableBytes == 0, link.canSpeak {
                link.connection.fill(&output)
                link.encrypt(&output)
            }
            guard link.output.unwritten.readableBytes + output.readableBytes > 0 else { return }
            switch link.write(&output, now: now) {
            case .all: continue
            case .some: return
            case .failed: link.connection.broke(now: now)
            }
        }
    }

    /// Counts what is kept for it; where that is too much, it is kept no longer.
    private func account(for link: Link) {
        guard link.account.hold(link.connection.footprint + link.output.unwritten.capacity) != nil else { return }
        link.connection.abort("too much is kept for this address", now: now)
        link.output.unwritten = ByteBuffer()
        _ = link.account.hold(link.connection.footprint)
    }

    /// All is said: once it is written, the other side is to close, and has a little time for that.
    private func end(_ link: Link) {
        if !link.end.isTold {
            link.end.isTold = true
            link.connection.holds += 1
            // What is wrong with a handshake has been told.
            if link.security.isEstablished, let flaw = link.connection.flaw { refuse(link, nil, flaw) }
            events.append(.lost(link.connection.id))
        }
        guard !link.connection.isBroken else { return close(link) }
        guard link.connection.hasSaidAll, link.output.unwritten.readableBytes == 0 else { return }
        if link.saysGoodbye() {
            write(link)
            guard link.output.unwritten.readableBytes == 0 else { return }
        }
        if link.end.hasEnded { close(link) } else { link.finish() }
    }

    private func close(_ link: Link) {
        link.close()
        accepting.room.giveBack(for: link.holder)
        tls.handshakes.end(link.connection.id)
        // There is room for another one.
        accepting.pausedUntil = now
        if link.connection.holds == 0 { table.links[link.connection.id] = nil }
    }

    /// Has it attended to at the next turn.
    func list(_ link: Link) {
        guard !link.isListed else { return }
        link.isListed = true
        table.listed.append(link)
    }

    /// Asks to be told of what can be done.
    private func watch(_ link: Link) {
        let reads = !link.end.hasEnded && (link.connection.isReading || link.connection.stage == .over)
        let writes = link.output.unwritten.readableBytes > 0
        guard link.changesWatch(reads: reads, writes: writes) else { return }
        streams_change(&streams, link.descriptor, UInt64(link.connection.id.rawValue), reads, writes)
    }

    // MARK: What the server asks for

    /// The number of the next Ping that somebody waits for.
    func nextPing() -> ConfirmableID {
        table.lastPing += 1
        return ConfirmableID(rawValue: table.lastPing)
    }
}
