import BrokerCore
import NIOCore

/// The thread that serves CoAP: waits, lets the server work on what has come, hands its requests to the core.
final class CoAPLoop: @unchecked Sendable {
    // Sendable: everything but the inbox belongs to the thread from the moment it starts.

    /// How long a shutdown waits for the core's answers to what was asked before.
    private static let patience = TimeAmount.seconds(1)
    /// Milliseconds between two looks at unacknowledged messages, and at idle endpoints.
    private static let retransmissionLook = 100
    private static let idleLook = 1_000

    private let context: CoAPContext
    private let server: CoAPServer<CoAPContext>
    private let core: CoreLoop
    private let gateway: CoreGateway
    private let inbox: CoreInbox
    private let events: EventLog
    private var maintainAt = NIODeadline.distantPast
    private var stopAt: NIODeadline?

    init(
        _ context: CoAPContext,
        configuration: CoAPListener.Configuration,
        core: CoreLoop,
        limits: Limits,
        refusals: Refusals,
        events: EventLog
    ) {
        self.events = events
        self.context = context
        self.core = core
        server = CoAPServer(
            layer: context,
            configuration: configuration,
            limits: limits,
            refusals: refusals,
            events: events
        )
        inbox = CoreInbox { [wakeUp = context.wakeUp] in wakeUp() }
        gateway = CoreGateway(
            inbox: inbox,
            receiveMaximum: max(configuration.receiveMaximum, configuration.nstart),
            capacity: configuration.notificationQueue,
            maximumBytes: configuration.notificationBytes
        )
    }

    /// Serves on a thread of its own until `stop`.
    ///
    /// - Returns: whether there could be such a thread.
    func run() async -> Bool {
        await withCheckedContinuation { continuation in
            let started = CoAPThread.start(name: "coap") {
                self.serve()
                continuation.resume(returning: true)
            }
            if !started { continuation.resume(returning: false) }
        }
    }

    /// Asks the thread to end; from any thread.
    func stop() { inbox.append(.shutdown) }

    private func serve() {
        context.enter()
        let observer = context.preSharedKeys?.observe { [inbox] in inbox.append(.keysReplaced) }
        while !isDone { turn() }
        if let observer { context.preSharedKeys?.endObserving(observer) }
        server.shutDown()
        submit()
        context.close()
    }

    private var isDone: Bool {
        guard let stopAt else { return false }
        return server.isSettled || stopAt <= .now()
    }

    private func turn() {
        let events = context.turn(timeout: timeout())
        let now = NIODeadline.now()
        take(events, now)
        take(context.overdueHandshakes(now), now)
        let fromCore = inbox.takeAll()
        if stopAt == nil, fromCore.askForShutdown { stopAt = now + Self.patience }
        if fromCore.tellOfKeys {
            take(context.endOutdatedSessions(), now)
            maintainAt = now
        }
        server.take(fromCore, now: now)
        server.endTurn(now: now)
        if server.hasOutstanding { maintainAt = min(maintainAt, now + .milliseconds(Int64(Self.retransmissionLook))) }
        if maintainAt <= now { maintain(now) }
        submit()
    }

    private func take(_ events: [CoAPContext.Event], _ now: NIODeadline) {
        for event in events {
            switch event {
            case .received(let request, let endpoint): server.received(request, from: endpoint, now: now)
            case .reset(let messageID, let endpoint): server.reset(messageID, from: endpoint)
            case .finished(let id): server.acknowledged(id, now: now)
            case .failed(let id, let failure): server.failed(id, failure)
            case .identified: break
            case .refused(let refusal):
                self.events.note(
                    .clientRefused,
                    by: ClientAddress(refusal.remoteAddress),
                    [
                        .userName(refusal.identity), .protocolName("coap"), .reason("no DTLS or TLS session"),
                        .detail(refusal.words),
                    ]
                )
            case .lost(let endpoint): server.endpointLost(endpoint)
            case .gone(let endpoint): server.endpointGone(endpoint)
            }
            context.done(event)
        }
    }

    private func maintain(_ now: NIODeadline) {
        take(context.maintain(), now)
        server.endTurn(now: now)
        maintainAt = now + .milliseconds(Int64(look))
    }

    private func submit() {
        guard let batch = server.takeBatch() else { return }
        core.submit { [gateway] broker in gateway.perform(batch, broker) }
    }

    /// Milliseconds until something is due; nil when nothing is.
    private func timeout() -> Int? {
        var next = min(server.endpointCount > 0 ? maintainAt : .distantFuture, context.handshakesDueAt)
        if let deadline = server.nextDeadline { next = min(next, deadline) }
        if let stopAt { next = min(next, stopAt) }
        guard next != .distantFuture else { return nil }
        return Int(max(0, ((next - .now()).nanoseconds + 999_999) / 1_000_000))
    }

    private var look: Int {
        server.hasOutstanding || !context.tellsAcknowledgements ? Self.retransmissionLook : Self.idleLook
    }
}
