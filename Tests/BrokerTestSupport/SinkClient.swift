package import BrokerCore
package import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore

/// A client of the core that speaks no MQTT: what a gateway is, without its protocol.
package final class SinkClient {
    private let test: TestBroker
    private let inbox = Inbox()
    /// The core's end of it.
    package let connection: VirtualConnection

    /// Makes a client that is not connected yet.
    ///
    /// - Parameters:
    ///   - capacity: messages that may wait here before QoS 0 is dropped.
    ///   - inflightMessages: messages that may be unacknowledged, if not as many as for others.
    ///   - isRead: whether it says how far it has read.
    package init(_ test: TestBroker, capacity: Int = 100, inflightMessages: Int? = nil, isRead: Bool = false) {
        self.test = test
        connection = VirtualConnection(
            transportProtocol: .coap,
            remoteAddress: "192.0.2.2:60000",
            outlet: .messages(
                MessageSink(
                    capacity: capacity,
                    inflightMessages: inflightMessages,
                    isRead: isRead,
                    receive: { [inbox] batch in inbox.state.withLockedValue { $0.deliveries += batch } },
                    closed: { [inbox] reason in inbox.state.withLockedValue { $0.closed.append(reason) } }
                )
            )
        )
    }

    /// Every reason the core gave for ending the connection.
    package var closed: [ReasonCode] { inbox.state.withLockedValue { $0.closed } }

    /// Takes what was delivered, without acknowledging it.
    package func deliveries() -> [Delivery] {
        inbox.state.withLockedValue { state in
            defer { state.deliveries = [] }
            return state.deliveries
        }
    }

    /// CONNECT; what a resumed session owes is sent.
    @discardableResult
    package func connect(_ request: ConnectRequest) -> ConnectResult {
        let result = test.broker.connect(request, on: connection)
        test.broker.resume(connection)
        test.flush()
        return result
    }

    /// SUBSCRIBE to one filter.
    @discardableResult
    package func subscribe(_ filter: String, qos: QoS = .atMostOnce) -> ReasonCode? {
        var reasonCodes: [ReasonCode] = []
        test.broker.subscribe(
            [.init(filter: filter, options: SubscriptionOptions(qos: qos))],
            identifier: nil,
            on: connection
        ) { reasonCodes = $0 }
        test.flush()
        return reasonCodes.first
    }

    /// PUBLISH.
    @discardableResult
    package func publish(_ topic: String, _ text: String, qos: QoS = .atMostOnce) throws -> ReasonCode {
        let message = Message(topic: try TopicName(topic), payload: ByteBuffer(string: text), qos: qos)
        defer { test.flush() }
        return test.broker.publish(message, from: connection)
    }

    /// The client has taken a delivery.
    package func acknowledge(_ delivery: Delivery) {
        if let packetID = delivery.packetID { test.broker.acknowledge(packetID, on: connection) }
        test.flush()
    }

    /// The adapter has passed deliveries on.
    package func consumed(_ count: Int) {
        test.broker.consumed(count, on: connection)
        test.flush()
    }

    /// The end of the connection.
    package func disconnect(_ reason: ReasonCode = .normalDisconnection) {
        test.broker.disconnect(connection, reason: reason)
        test.flush()
    }
}

extension Delivery {
    /// The payload as text.
    package var text: String { String(buffer: message.payload) }
}

/// What a sink client got; the sink's closures may run anywhere.
private final class Inbox: Sendable {
    struct State {
        var deliveries: [Delivery] = []
        var closed: [ReasonCode] = []
    }

    let state = NIOLockedValueBox(State())
}
