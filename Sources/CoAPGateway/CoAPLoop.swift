import BrokerCore
import CoreRuntime
import NIOCore

/// The thread that serves CoAP: waits, lets the server work on what has come, hands its requests to the core.
final class CoAPLoop<Layer: ServedLayer>: @unchecked Sendable {
    // Sendable: everything but the inbox belongs to the thread from the moment it starts.

    /// How long a shutdown waits for the core's answers to what was asked before.
    private static var patience: TimeAmount { .seconds(1) }

    private let layer: Layer
    private let server: CoAPServer<Layer>
    private let core: CoreLoop
    private let gateway: CoreGateway
    /// What others have for the thread; from any thread.
    let inbox: CoreInbox
    private let events: EventLog
    private var stopAt: NIODeadline?

    init(
        _ layer: Layer,
        configuration: CoAPListener.Configuration,
        core: CoreLoop,
        limits: Limits,
        refusals: Refusals,
        events: EventLog
    ) {
        self.events = events
        self.layer = layer
        self.core = core
        server = CoAPServer(
            layer: layer,
            configuration: configuration,
            limits: limits,
            refusals: refusals,
            events: events
        )
        inbox = CoreInbox { [wakeUp = layer.wakeUp] in wakeUp() }
        gateway = CoreGateway(
            inbox: inbox,
            receiveMaximum: max(configuration.receiveMaximum, configuration.nstart),
            capacity: configuration.notificationQueue,
            maximumBytes: configuration.notificationBytes
        )
    }

    /// Serves on a thread of its own until `CoreEvent.shutdown`.
    ///
    /// - Returns: what ends with it; nil when there could be no such thread.
    func start() -> Task<Void, Never>? {
        let (ended, end) = AsyncStream.makeStream(of: Never.self)
        let isStarted = CoAPThread.start(name: "coap") {
            self.serve()
            end.finish()
        }
        return isStarted ? Task { for await _ in ended {} } : nil
    }

    private func serve() {
        layer.enter()
        let keys = layer.security?.preSharedKeys?.observe { [inbox] in inbox.append(.keysReplaced) }
        let certificate = layer.security?.certificate?.observe { [inbox] in inbox.append(.keysReplaced) }
        while !isDone { turn() }
        if let keys { layer.security?.preSharedKeys?.endObserving(keys) }
        if let certificate { layer.security?.certificate?.endObserving(certificate) }
        server.shutDown()
        submit()
        layer.close()
    }

    private var isDone: Bool {
        guard let stopAt else { return false }
        return server.isSettled || stopAt <= .now()
    }

    private func turn() {
        let events = layer.turn(timeout: timeout())
        let now = NIODeadline.now()
        take(events, now)
        let fromCore = inbox.takeAll()
        if fromCore.stopAccepting { layer.stopAccepting() }
        if stopAt == nil, fromCore.askForShutdown { stopAt = now + Self.patience }
        if fromCore.tellOfKeys { take(layer.endOutdatedSessions(), now) }
        if let due = layer.nextDeadline, due <= now { take(layer.maintain(now: now), now) }
        server.take(fromCore, now: now)
        server.endTurn(now: now)
        submit()
    }

    private func take(_ events: [LayerEvent], _ now: NIODeadline) {
        for event in events {
            switch event {
            case .received(let request, let endpoint): server.received(request, from: endpoint, now: now)
            case .reset(let messageID, let endpoint): server.reset(messageID, from: endpoint)
            case .finished(let id): server.acknowledged(id, now: now)
            case .failed(let id, let failure): server.failed(id, failure)
            case .refused(let refusal):
                self.events.note(
                    .clientRefused,
                    by: ClientAddress(refusal.remoteAddress),
                    [
                        .userName(refusal.identity), .protocolName("coap"), .reason("no session or connection"),
                        .detail(refusal.words),
                    ]
                )
            case .lost(let endpoint): server.endpointLost(endpoint)
            case .drained(let endpoint): server.hasRoom(endpoint)
            case .gone(let endpoint): server.endpointGone(endpoint)
            }
            layer.done(event)
        }
    }

    private func submit() {
        guard let batch = server.takeBatch() else { return }
        core.submit { [gateway] broker in gateway.perform(batch, broker) }
    }

    /// Milliseconds until something is due; nil when nothing is.
    private func timeout() -> Int? {
        guard let next = [layer.nextDeadline, server.nextDeadline, stopAt].compactMap({ $0 }).min() else { return nil }
        return Int(max(0, ((next - .now()).nanoseconds + 999_999) / 1_000_000))
    }
}
