import CCoAPShim
import CLibcoap
import NIOConcurrencyHelpers
import NIOCore

/// libcoap as a message layer; nothing outside this folder calls C.
///
/// Confined to the thread that serves it, once that has begun. libcoap parses, retransmits and keeps an endpoint's
/// address; its own observe and block-wise mechanisms stay off.
final class CoAPContext: ServedLayer {
    typealias Event = LayerEvent

    /// Options of one request beyond which it is refused.
    static let options = 96
    /// Bytes of the socket's receive and send buffers: a burst of some thousand datagrams.
    static let socketBuffer: Int32 = 4_194_304

    /// Contexts are made and freed one after the other: libcoap's own set-up is not for several threads.
    private static let lifecycle = NIOLock()
    /// Set up once in a process; whether the hooks work.
    static let hooksWork: Bool = {
        coap_startup()
        coap_shim_silence()
        return coap_shim_hooks_work()
    }()

    /// One libcoap context with a socket of its own.
    ///
    /// What libcoap does for a new peer, for a retransmission and at each look at its timers costs a walk over all the
    /// peers of the context: so there are several, and the kernel spreads the peers over them.
    struct Shard {
        let context: OpaquePointer
        var socket: coap_shim_socket_t
        var depth: Int32 = 2
    }

    var shards: [Shard]
    /// Empty for ever; see `coap_shim_pump`.
    let idleContext: OpaquePointer
    private let epoll: Int32
    /// Wakes the thread up.
    let wakeUp: WakeUp
    let acknowledgeTimeout: UInt32
    let maximumRetransmissions: UInt16
    let nstart: UInt16

    let tellsAcknowledgements: Bool
    var events: [Event] = []
    /// Sessions of libcoap's.
    var sessions = 0
    /// Confirmable messages that libcoap has not done with.
    var outstanding: Set<ConfirmableID> = []
    /// When libcoap looks at its sessions next; each look costs a walk over all of them.
    var maintainAt = NIODeadline.distantPast
    var datagrams: Int32 = 0
    /// A message is on its way into libcoap; that it is done with at once means that it was not sent.
    var isSending = false
    var writer = OptionWriter()

    private let isSecure: Bool
    /// Messages are carried by connections: no Message IDs, no acknowledgements, no duplicates (RFC 8323 §3).
    let isReliable: Bool
    /// Connections beyond which a new one is closed.
    let mostConnections: Int
    var connections: Set<EndpointID> = []
    /// What each connection still has to confirm.
    var flows: [EndpointID: LibcoapFlow] = [:]
    var lastPing: UInt = 0
    /// To be closed once libcoap is done with what it does.
    var unwanted: [EndpointID] = []

    /// Nil where there is no DTLS, or no hook for it.
    var door: Door?

    let preSharedKeys: PreSharedKeys?
    let identityName: CoAPSecurity.CertificateIdentity
    /// Who has begun a handshake, by session, as of the events that have been dealt with.
    var identities: [EndpointID: TransportIdentity] = [:]
    /// Of those that name a key.
    var openHandshakes: [EndpointID: OpenHandshake] = [:]
    /// When the first of them has had its time.
    var handshakesDueAt = NIODeadline.distantFuture
    let keyAnswer = KeyAnswer()

    /// Binds.
    ///
    /// - Throws: `CoAPListener.ListenFailed` when the address can't be had.
    init(_ configuration: CoAPListener.Configuration) throws(CoAPListener.ListenFailed) {
        let failure = { (reason: String) in
            CoAPListener.ListenFailed(address: "\(configuration.host):\(configuration.port)", reason: reason)
        }
        let opened = Self.lifecycle.withLock { () -> Result<Opened, CoAPListener.ListenFailed> in
            Self.open(configuration).mapError { failure($0.reason) }
        }
        let parts = try opened.get()
        tellsAcknowledgements = Self.hooksWork
        shards = parts.shards
        idleContext = parts.idleContext
        wakeUp = parts.wakeUp
        epoll = parts.epoll
        acknowledgeTimeout = UInt32(clamping: max(configuration.acknowledgeTimeout, 1_000))
        maximumRetransmissions = UInt16(clamping: max(configuration.maximumRetransmissions, 1))
        nstart = UInt16(clamping: max(configuration.nstart, 1))
        isReliable = configuration.transport == .tcp
        isSecure = configuration.security != nil
        mostConnections = configuration.idleEndpoints
        identityName = configuration.security?.identity ?? .commonName
        preSharedKeys = configuration.security?.preSharedKeys
        let share = Double(configuration.idleEndpoints) / Double(shards.count)
        // The kernel spreads peers by chance: six standard deviations more than their share is never needed.
        let idleEndpoints = max(Int(shards.count == 1 ? share : share + 6 * share.squareRoot()), 1)
        let handshakes = max(configuration.handshakes / shards.count, 1)
        for shard in shards {
            coap_set_app_data(shard.context, Unmanaged.passUnretained(self).toOpaque())
            coap_context_set_block_mode(shard.context, 0)
            coap_context_set_max_idle_sessions(shard.context, UInt32(clamping: idleEndpoints))
            coap_context_set_max_handshake_sessions(shard.context, UInt32(clamping: handshakes))
            coap_context_set_session_timeout(shard.context, UInt32(clamping: configuration.idleTimeout))
            addHandlers(shard.context)
        }
        if configuration.security != nil, !isReliable, coap_shim_hello_hook_works() { door = Door() }
        door?.guarding(self)
    }

    /// The port that is listened on.
    var port: Int { shards.first.map { Int($0.socket.port) } ?? 0 }

    // MARK: The thread's turn

    /// Makes libcoap's hooks call this context; on the thread that serves it.
    func enter() {
        if isReliable, coap_shim_connections_hooks_work() { coap_shim_connections_begin(isSecure) }
        guard tellsAcknowledgements else { return }
        coap_shim_set_encrypted_hook { app, session in CoAPContext.from(app)?.encryptedCame(session) }
        coap_shim_set_hooks(
            Unmanaged.passUnretained(self).toOpaque(),
            { app, session, isReset, messageID in CoAPContext.from(app)?.datagramCame(session, isReset, messageID) },
            { app, pdu, isForgotten in CoAPContext.from(app)?.finished(pdu, isForgotten: isForgotten) }
        )
    }

    /// Waits for datagrams or a wake-up, and takes in what has come.
    ///
    /// - Parameter timeout: milliseconds; nil waits for ever.
    func turn(timeout: Int?) -> [Event] {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: shards.count) { ready in
            let count = coap_shim_wait(
                epoll,
                ready.baseAddress,
                Int32(shards.count),
                wakeUp.descriptor,
                timeout.map { Int32(clamping: $0) } ?? -1
            )
            for place in ready.prefix(Int(count)) { pump(Int(place)) }
        }
        closeUnwanted()
        return takeEvents()
    }

    /// Between two looks at unacknowledged messages, and at idle endpoints.
    private static let retransmissionLook = TimeAmount.milliseconds(100)
    private static let idleLook = TimeAmount.seconds(1)

    var nextDeadline: NIODeadline? {
        let look: NIODeadline? = sessions > 0 ? maintainAt : nil
        return handshakesDueAt == .distantFuture ? look : min(look ?? .distantFuture, handshakesDueAt)
    }

    /// Lets libcoap send again what was not acknowledged and forget idle endpoints.
    func maintain(now: NIODeadline) -> [Event] {
        endOverdueHandshakes(now)
        guard maintainAt <= now else { return takeEvents() }
        if isReliable { closeSilent() }
        var ticks: coap_tick_t = 0
        coap_ticks(&ticks)
        for shard in shards { _ = coap_io_prepare_epoll(shard.context, ticks) }
        let hurries = !outstanding.isEmpty || !tellsAcknowledgements
        maintainAt = now + (hurries ? Self.retransmissionLook : Self.idleLook)
        return takeEvents()
    }

    /// A confirmable message was sent.
    func began(_ id: ConfirmableID) {
        outstanding.insert(id)
        maintainAt = min(maintainAt, .now() + Self.retransmissionLook)
    }

    /// The event has been dealt with.
    func done(_ event: Event) {
        switch event {
        case .received(_, let endpoint): release(endpoint)
        case .identified(let endpoint, let identity): identities[endpoint] = identity
        case .lost(let endpoint), .gone(let endpoint): identities[endpoint] = nil
        case .finished(let id), .failed(let id, _): outstanding.remove(id)
        case .reset, .refused, .drained: break
        }
    }

    func takeEvents() -> [Event] {
        guard !events.isEmpty else { return [] }
        let taken = events
        events = []
        // The next turn will be like this one.
        events.reserveCapacity(min(taken.count, 256))
        return taken
    }

    /// Closes the sockets.
    ///
    /// Nothing may be held any more.
    func close() {
        coap_shim_set_hooks(nil, nil, nil)
        coap_shim_set_encrypted_hook(nil)
        Self.lifecycle.withLock {
            for shard in shards {
                coap_set_app_data(shard.context, nil)
                coap_free_context(shard.context)
            }
            coap_free_context(idleContext)
        }
        coap_shim_connections_end()
        coap_shim_close(epoll)
    }
}
