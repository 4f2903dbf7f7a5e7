import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore
import Testing

/// What gateways need beyond MQTT: acknowledgement by sequence, transient connections, bounds in bytes.
@Suite struct GatewaySinkTests {
    /// A client that takes messages.
    private final class Client: Sendable {
        private let batches = NIOLockedValueBox<[Delivery]>([])
        private let reason = NIOLockedValueBox<ReasonCode?>(nil)

        func connection(capacity: Int = 100, maximumBytes: Int = .max) -> VirtualConnection {
            VirtualConnection(
                transportProtocol: .http,
                remoteAddress: "",
                outlet: .messages(
                    MessageSink(
                        capacity: capacity,
                        maximumBytes: maximumBytes,
                        receive: { batch in self.batches.withLockedValue { $0 += batch } },
                        closed: { reason in self.reason.withLockedValue { $0 = reason } }
                    )
                )
            )
        }

        /// What has come since the last call.
        func taken(_ broker: Broker) -> [Delivery] {
            broker.flush()
            return batches.withLockedValue { batches in
                defer { batches = [] }
                return batches
            }
        }

        func payloads(_ broker: Broker) -> [String] { taken(broker).map { String(buffer: $0.message.payload) } }

        var closedBy: ReasonCode? { reason.withLockedValue { $0 } }
    }

    private func makeBroker(limits: Limits = Limits()) -> Broker {
        Broker(limits: limits, now: .uptimeNanoseconds(0))
    }

    private func subscribe(_ broker: Broker, _ connection: VirtualConnection, qos: QoS = .atLeastOnce) {
        let wanted = Subscribe.Subscription(filter: "#", options: SubscriptionOptions(qos: qos))
        broker.subscribe([wanted], identifier: nil, on: connection) { _ in }
    }

    @discardableResult
    private func publish(
        _ broker: Broker,
        _ payload: String,
        qos: QoS = .atLeastOnce,
        clientID: String = ""
    ) -> ReasonCode {
        let connection = Client().connection()
        _ = broker.connect(ConnectRequest(clientID: clientID, isTransient: true), on: connection)
        defer { broker.disconnect(connection, reason: .normalDisconnection) }
        return broker.publish(
            topic: "t".utf8Span.span.bytes,
            payload: payload.utf8Span.span.bytes,
            qos: qos,
            retain: false,
            properties: nil,
            from: connection
        )
    }

    private func connectPersistent(_ broker: Broker, _ connection: VirtualConnection, receiveMaximum: UInt16 = .max) {
        let request = ConnectRequest(
            clientID: "c",
            cleanStart: false,
            sessionExpiryInterval: 60,
            receiveMaximum: receiveMaximum
        )
        #expect(!broker.connect(request, on: connection).reasonCode.isError)
    }

    @Test("deliveries have ascending sequences, and a client what was sent up to one of them can be taken for read")
    func takeForRead() {
        let broker = makeBroker()
        let client = Client()
        let connection = client.connection()
        connectPersistent(broker, connection, receiveMaximum: 3)
        subscribe(broker, connection)
        for number in 1...5 { publish(broker, "\(number)") }
        let sent = client.taken(broker)
        #expect(sent.map(\.sequence) == sent.map(\.sequence).sorted())
        #expect(sent.count == 3)
        #expect(!broker.hasTakenForRead(after: 0, on: connection))
        broker.takeForRead(through: sent[1].sequence, on: connection)
        #expect(broker.hasTakenForRead(after: sent[0].sequence, on: connection))
        #expect(!broker.hasTakenForRead(after: sent[1].sequence, on: connection))
        #expect(client.payloads(broker) == ["4", "5"])
    }

    @Test("a resumed session sends what its client does not have, then what was queued")
    func resumeAfter() {
        let broker = makeBroker()
        let first = Client()
        let connection = first.connection()
        connectPersistent(broker, connection)
        subscribe(broker, connection)
        publish(broker, "1")
        publish(broker, "2")
        let seen = first.taken(broker)
        broker.disconnect(connection, reason: .normalDisconnection)
        publish(broker, "3")

        let second = Client()
        let again = second.connection()
        connectPersistent(broker, again)
        broker.resume(again, after: seen[0].sequence)
        let deliveries = second.taken(broker)
        #expect(deliveries.map { String(buffer: $0.message.payload) } == ["2", "3"])
        #expect(deliveries.map(\.dup) == [true, false])
    }

    @Test("what a full queue drops is told to a gateway's client: how much, and whether it came after what it has")
    func overflowIsTold() {
        for policy in [QueueLimits.Policy.dropOldest, .dropNewest] {
            var queue = QueueLimits()
            queue.messages = 2
            queue.whenFull = policy
            let broker = makeBroker(limits: Limits(queue: queue))
            let first = Client()
            let connection = first.connection()
            connectPersistent(broker, connection)
            subscribe(broker, connection)
            publish(broker, "1")
            let seen = first.taken(broker)
            broker.disconnect(connection, reason: .normalDisconnection)
            for number in 2...5 { publish(broker, "\(number)") }

            let second = Client()
            let again = second.connection()
            connectPersistent(broker, again)
            broker.resume(again, after: seen[0].sequence)
            #expect(broker.hasTakenForRead(after: seen[0].sequence, on: again))
            let deliveries = second.taken(broker)
            #expect(deliveries.map(\.lost) == [2, 0])
            let last = deliveries.last?.sequence ?? 0
            #expect(broker.hasTakenForRead(after: last, on: again) == (policy == .dropNewest))
        }
    }

    @Test("a QoS 2 delivery of which only PUBCOMP is missing does not hold up a client that can't send one")
    func released() {
        let broker = makeBroker()
        let first = Client()
        let connection = first.connection()
        connectPersistent(broker, connection, receiveMaximum: 1)
        subscribe(broker, connection, qos: .exactlyOnce)
        publish(broker, "1", qos: .exactlyOnce)
        let packetID = first.taken(broker).first?.packetID ?? 0
        #expect(broker.pubrec(packetID, reason: .success, on: connection) == .expected)
        broker.disconnect(connection, reason: .normalDisconnection)
        publish(broker, "2", qos: .exactlyOnce)
        let second = Client()
        let again = second.connection()
        connectPersistent(broker, again, receiveMaximum: 1)
        broker.resume(again)
        #expect(second.payloads(broker) == ["2"])
    }

    @Test("a transient connection leaves the session of its name alone")
    func transient() {
        let broker = makeBroker()
        let client = Client()
        let connection = client.connection()
        connectPersistent(broker, connection)
        subscribe(broker, connection)
        #expect(publish(broker, "1", clientID: "c") == .success)
        #expect(client.closedBy == nil)
        #expect(client.payloads(broker) == ["1"])
        #expect(broker.connectedClients == 1)
        let noLocal = Subscribe.Subscription(filter: "#", options: SubscriptionOptions(noLocal: true))
        broker.subscribe([noLocal], identifier: nil, on: connection) { _ in }
        publish(broker, "2", clientID: "c")
        #expect(client.payloads(broker).isEmpty)
    }

    @Test("what waits in an adapter is bounded by bytes: QoS 0 waits outside, and QoS 1 is queued")
    func bytes() {
        let broker = makeBroker()
        let client = Client()
        let connection = client.connection(maximumBytes: 10)
        _ = broker.connect(ConnectRequest(), on: connection)
        subscribe(broker, connection)
        publish(broker, "0123456789")
        publish(broker, "dropped", qos: .atMostOnce)
        publish(broker, "waits", qos: .atMostOnce)
        publish(broker, "queued")
        #expect(client.payloads(broker) == ["0123456789"])
        #expect(broker.statistics.dropped == 1)
        broker.consumed(1, on: connection)
        #expect(client.payloads(broker) == ["waits"])
        broker.consumed(1, on: connection)
        #expect(client.payloads(broker) == ["queued"])
    }

    @Test("a client whose queue overflows is disconnected even when it has nothing to flush")
    func overflow() {
        var queue = QueueLimits()
        queue.messages = 1
        queue.whenFull = .disconnect
        let broker = makeBroker(limits: Limits(queue: queue))
        let isDirty = NIOLockedValueBox(false)
        broker.host.requestFlush = { isDirty.withLockedValue { $0 = true } }
        let client = Client()
        let connection = client.connection()
        _ = broker.connect(ConnectRequest(receiveMaximum: 1), on: connection)
        subscribe(broker, connection)
        publish(broker, "1")
        broker.flush()
        isDirty.withLockedValue { $0 = false }
        publish(broker, "2")
        publish(broker, "3")
        #expect(isDirty.withLockedValue { $0 })
        broker.flush()
        #expect(client.closedBy == .quotaExceeded)
    }

    @Test("[MQTT-3.2.2-11] a QoS above the maximum is refused however the message comes")
    func maximumQoS() {
        var limits = Limits()
        limits.maximumQoS = 0
        #expect(publish(makeBroker(limits: limits), "x") == .qosNotSupported)
    }
}
