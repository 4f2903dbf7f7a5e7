import BrokerCore
import CoreRuntime
import DequeModule
import HTTPServer
import JSONMessages
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore
import Synchronization

/// A virtual connection that subscribes, from the response's side.
///
/// It ends with `close`, or when nobody holds it any more.
final class Subscriber: Sendable {
    let inbox: Inbox
    /// Whom the broker has let in; nil for an anonymous client.
    let userName: String?
    /// Of the session's event identifiers.
    let epoch: String
    /// Whether the client has lost something: it named a last event that this session never had, or one so old that what
    /// came after it can't be had again.
    let isReset: Bool

    private let core: CoreLoop
    private let connection: VirtualConnection
    private let isPersistent: Bool
    /// QoS 1 and 2 deliveries of a persistent session that are kept unacknowledged after they were written.
    private let replayWindow: Int
    private let replayBytes: Int
    private let replayTime: TimeAmount
    private let written = NIOLockedValueBox(Written())
    private let isClosed = Atomic(false)

    private struct Opened: Sendable {
        let userName: String?
        let epoch: String
        let isReset: Bool
    }

    /// Connects, resumes the session if it is persistent, and subscribes.
    ///
    /// - Throws: what the broker refused; nothing is left behind then.
    init(_ request: SubscribeRequest, as identity: Identity, _ gateway: Gateway) async throws(Problem) {
        let configuration = gateway.configuration
        // A client that reads is sent whatever there is; what it has not acknowledged is kept for it.
        let window =
            request.isPersistent
            ? Int(configuration.replayWindow) + Int(configuration.replayWindow) / Self.slack
                + configuration.subscriberMessages
            : min(configuration.subscriberMessages, gateway.limits.inflightMessages)
        replayWindow = Int(configuration.replayWindow)
        replayBytes = configuration.replayBytes
        replayTime = configuration.replayTime.timeAmount

        let inbox = Inbox()
        let connection = VirtualConnection(
            transportProtocol: .http,
            address: identity.address,
            transportIdentity: identity.transportIdentity,
            outlet: .messages(
                MessageSink(
                    capacity: configuration.subscriberMessages,
                    maximumBytes: configuration.subscriberBytes,
                    inflightMessages: request.isPersistent ? window : nil,
                    isRead: request.isPersistent,
                    receive: { inbox.receive($0) },
                    closed: { inbox.close($0) }
                )
            )
        )
        var connect = ConnectRequest(
            clientID: identity.clientID,
            cleanStart: !request.isPersistent,
            sessionExpiryInterval: request.sessionExpiryInterval,
            receiveMaximum: UInt16(clamping: max(window, 1))
        )
        connect.identify(identity.credentials)
        let answer = await gateway.core.perform(connecting: connect, on: connection) { broker, connected in
            Self.open(request, identity, connected, connection, broker)
        }
        let opened = try answer.value.get()
        guard answer.isStored else {
            gateway.core.submit { $0.disconnect(connection, reason: .normalDisconnection) }
            throw .storeUnavailable
        }
        self.inbox = inbox
        self.connection = connection
        core = gateway.core
        isPersistent = request.isPersistent
        userName = opened.userName
        epoch = opened.epoch
        isReset = opened.isReset
    }

    deinit { close() }

    /// DISCONNECT.
    func close() {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        let connection = connection
        core.submit { $0.disconnect(connection, reason: .normalDisconnection) }
    }

    /// Waits until everything the core has for the subscriber right now is in the inbox.
    func catchUp() async {
        let connection = connection
        await withCheckedContinuation { continuation in
            core.submit { broker in broker.catchUp(connection) { continuation.resume() } }
        }
    }

    /// The same client has shown a newer token at another connection; on the core loop.
    func prolong(byTokenOf other: VirtualConnection, _ broker: Broker) { broker.prolong(connection, byTokenOf: other) }

    /// Deliveries have been written to the client.
    ///
    /// A session that ends with its stream can't be resumed, so they are done. A persistent one keeps the newest for a
    /// client that comes back and says how far it got.
    func wrote(_ batch: [Delivery]) {
        guard isPersistent else { return acknowledge(batch) }
        let now = NIODeadline.now()
        let oldEnough = written.withLockedValue { written -> UInt64? in
            for delivery in batch where delivery.packetID != nil { written.append(delivery, at: now) }
            // Some at a time, since each time all that is kept is looked at.
            let slack = 1 + 1 / Double(Self.slack)
            guard written.exceeds(Int(Double(replayWindow) * slack), bytes: Int(Double(replayBytes) * slack)) else {
                return nil
            }
            var last: UInt64?
            while written.exceeds(replayWindow, bytes: replayBytes) { last = written.popFirst()?.sequence }
            return last
        }
        let connection = connection
        let count = batch.count
        core.submit { $0.consumed(count, on: connection) }
        if let oldEnough { takeForRead(oldEnough) }
    }

    /// Time has passed: what was written long ago counts as read.
    func grewOlder() {
        let oldest = NIODeadline.now() - replayTime
        let oldEnough = written.withLockedValue { written -> UInt64? in
            var last: UInt64?
            while let first = written.first, first.at < oldest { last = written.popFirst()?.sequence }
            return last
        }
        if let oldEnough { takeForRead(oldEnough) }
    }

    private func takeForRead(_ sequence: UInt64) {
        let connection = connection
        core.submit { $0.takeForRead(through: sequence, on: connection) }
    }

    /// The part of the replay window by which it may be exceeded.
    private static let slack = 8

    /// The client has said that it has them.
    func acknowledge(_ batch: [Delivery]) {
        guard !batch.isEmpty else { return }
        let connection = connection
        let packetIDs = batch.compactMap(\.packetID)
        let count = batch.count
        core.submit { broker in
            broker.consumed(count, on: connection)
            for packetID in packetIDs { broker.acknowledge(packetID, on: connection) }
        }
    }

    private static func open(
        _ request: SubscribeRequest,
        _ identity: Identity,
        _ connected: ConnectResult,
        _ connection: VirtualConnection,
        _ broker: Broker
    ) -> Result<Opened, Problem> {
        guard !connected.reasonCode.isError else { return .failure(identity.refused(connected.reasonCode)) }
        func leave(_ problem: Problem) -> Result<Opened, Problem> {
            broker.disconnect(
                connection,
                reason: .normalDisconnection,
                // What this request has made, it takes away again.
                sessionExpiryInterval: connected.sessionPresent ? nil : 0
            )
            return .failure(problem)
        }
        guard connected.sessionPresent || !request.subscriptions.isEmpty else {
            return leave(.badRequest("no session to go on with, and no topic= to subscribe to", .topicFilterInvalid))
        }

        let epoch = EventID.epoch(of: connected.sessionNumber)
        let isKnown = request.lastEventID?.epoch == epoch
        broker.resume(connection, after: isKnown ? request.lastEventID?.sequence : nil)
        var reasonCodes: [ReasonCode] = []
        if !request.subscriptions.isEmpty {
            broker.subscribe(request.subscriptions, identifier: nil, on: connection) { reasonCodes = $0 }
        }
        if let refused = zip(request.subscriptions, reasonCodes).first(where: { $1.isError }) {
            return leave(Problem(refused.1, detail: "\(refused.0.filter): \(refused.1.name)"))
        }
        let hasLost = request.lastEventID.map { event in
            !isKnown || broker.hasTakenForRead(after: event.sequence, on: connection)
        }
        return .success(Opened(userName: connection.userName, epoch: epoch, isReset: hasLost ?? false))
    }
}

/// Deliveries that were written to a client, and that it may ask for again.
private struct Written {
    private var deliveries: Deque<(sequence: UInt64, cost: Int, at: NIODeadline)> = []
    private var bytes = 0

    var first: (sequence: UInt64, cost: Int, at: NIODeadline)? { deliveries.first }

    func exceeds(_ count: Int, bytes: Int) -> Bool { deliveries.count > count || self.bytes > bytes }

    mutating func append(_ delivery: Delivery, at now: NIODeadline) {
        deliveries.append((delivery.sequence, delivery.cost, now))
        bytes += delivery.cost
    }

    mutating func popFirst() -> (sequence: UInt64, cost: Int, at: NIODeadline)? {
        guard let first = deliveries.popFirst() else { return nil }
        bytes -= first.cost
        return first
    }
}
