import BrokerCore
import BrokerTestSupport
import CoAPGateway
import CoreRuntime
import MQTTCodec
import NIOCore
import NIOPosix
import Testing

/// A broker on a real event loop with a CoAP listener in front, for as long as `body` runs.
func withGateway(
    limits: Limits = Limits(),
    configuration: CoAPListener.Configuration = .local(),
    authenticator: sending any Authenticator = AnonymousAccess(),
    places: SocketPlaces = SocketPlaces(Quota.Limit(total: 1_000)),
    bytes: ConnectionBytes = ConnectionBytes(Quota.Limit(total: 268_435_456)),
    events: EventLog = .silent,
    _ body: (TestGateway) async throws -> Void
) async throws {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let core = CoreLoop(
        eventLoop: loop,
        broker: Broker(limits: limits, authenticator: authenticator, now: .now())
    )
    let listening = try CoAPListener(
        configuration: configuration,
        core: core,
        limits: limits,
        places: places,
        bytes: bytes,
        events: events
    )
    .listen()
    // As the composition does it.
    let stop = {
        listening.stopAccepting()
        await core.perform { $0.shutdown() }
        await listening.drain()
    }
    do {
        try await body(TestGateway(port: listening.port, core: core))
    } catch {
        await stop()
        throw error
    }
    await stop()
}

struct TestGateway {
    let port: Int
    let core: CoreLoop

    func client() throws -> RawClient { try RawClient(port: port) }

    /// Messages accepted from clients since the start.
    func received() async -> UInt64 { await core.perform { $0.statistics.published } }

    /// Publishes as an MQTT client would.
    @discardableResult
    func publish(
        _ topic: String,
        _ payloads: [String],
        qos: QoS = .atMostOnce,
        retain: Bool = false
    ) async throws
        -> ReasonCode
    {
        let name = try TopicName(topic)
        return await core.perform { broker in
            let publisher = VirtualConnection(
                transportProtocol: .mqtt,
                remoteAddress: "test",
                outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
            )
            _ = broker.connect(ConnectRequest(), on: publisher)
            var reason = ReasonCode.success
            for payload in payloads {
                reason = broker.publish(
                    Message(topic: name, payload: ByteBuffer(string: payload), qos: qos, retain: retain),
                    from: publisher
                )
            }
            broker.disconnect(publisher, reason: .normalDisconnection)
            return reason
        }
    }

    /// Connects as an MQTT client with that Client Identifier would, and takes a session over.
    func takeOver(_ clientID: String) async {
        await core.perform { broker in
            let other = VirtualConnection(
                transportProtocol: .mqtt,
                remoteAddress: "test",
                outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
            )
            _ = broker.connect(ConnectRequest(clientID: clientID), on: other)
        }
    }
}
