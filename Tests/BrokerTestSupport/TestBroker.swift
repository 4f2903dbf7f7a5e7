package import BrokerCore
package import MQTTCodec
import NIOConcurrencyHelpers
package import NIOCore

/// A broker with virtual time and no sockets: it does what a test says, when the test says it.
package final class TestBroker {
    /// When every test broker starts.
    package static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    /// The broker itself.
    package let broker: Broker
    /// What outlives it.
    package let store: TestStore
    private var isDirty = false
    private let mailbox = Mailbox()

    /// Starts a broker.
    ///
    /// - Parameters:
    ///   - store: give a former broker's to start again after it.
    ///   - durability: what answers wait for.
    ///   - time: when it starts.
    ///   - queue: changes the limits of queues.
    ///   - limits: changes the other limits.
    package init(
        authenticator: any Authenticator = AnonymousAccess(),
        enhancedAuthenticator: (any EnhancedAuthenticator)? = nil,
        authorizer: (any Authorizer)? = nil,
        events: (any EventSink)? = nil,
        store: TestStore = TestStore(),
        durability: Durability = .strict,
        time: NIODeadline = TestBroker.start,
        queue: (inout QueueLimits) -> Void,
        limits: (inout Limits) -> Void = { _ in }
    ) {
        var wantedLimits = Limits()
        limits(&wantedLimits)
        queue(&wantedLimits.queue)
        self.store = store
        broker = Broker(
            limits: wantedLimits,
            authenticator: authenticator,
            enhancedAuthenticator: enhancedAuthenticator,
            authorizer: authorizer,
            events: events,
            store: store,
            durability: durability,
            epoch: UInt64(time.uptimeNanoseconds / 1_000),
            now: time
        )
        broker.host.requestFlush = { [unowned self] in isDirty = true }
        broker.host.submit = { [mailbox] work in mailbox.items.withLockedValue { $0.append(work) } }
        do { try broker.recover() } catch { preconditionFailure("what the test has stored can't be read: \(error)") }
    }

    /// Starts a broker with queues as usual.
    package convenience init(
        authenticator: any Authenticator = AnonymousAccess(),
        enhancedAuthenticator: (any EnhancedAuthenticator)? = nil,
        authorizer: (any Authorizer)? = nil,
        events: (any EventSink)? = nil,
        store: TestStore = TestStore(),
        durability: Durability = .strict,
        time: NIODeadline = TestBroker.start,
        limits: (inout Limits) -> Void = { _ in }
    ) {
        self.init(
            authenticator: authenticator,
            enhancedAuthenticator: enhancedAuthenticator,
            authorizer: authorizer,
            events: events,
            store: store,
            durability: durability,
            time: time,
            queue: { _ in },
            limits: limits
        )
    }

    /// A broker that starts from this one's store, which has everything.
    package func restarted() -> TestBroker {
        storeAll()
        return crashed()
    }

    /// A broker that starts from what this one's store has been given so far.
    package func crashed() -> TestBroker { TestBroker(store: store, time: broker.now) }

    /// Gives the store all that it is to write.
    package func storeAll() {
        broker.whenAllStored { _ in }
        flush()
    }

    /// Does what other threads have brought, and ends ticks until nothing is left to send.
    package func flush() {
        broker.noteChanges()
        var work = mailbox.take()
        while isDirty || !work.isEmpty || broker.hasBacklog {
            for item in work { item(broker) }
            isDirty = false
            broker.proceed()
            broker.flush()
            broker.noteChanges()
            work = mailbox.take()
        }
    }

    /// Moves the time on, in one step.
    package func advance(to time: NIODeadline) {
        store.advance(to: time)
        broker.advance(to: time)
        flush()
    }

    /// Moves the time on, in one step.
    package func advance(seconds: Double) {
        advance(to: broker.now + .milliseconds(Int64(seconds * 1_000)))
    }

    /// An open network connection that has sent nothing yet.
    package func open(_ version: ProtocolVersion = .v5, from address: String = "192.0.2.1") -> TestClient {
        TestClient(self, version, address: address)
    }

    /// A connected client.
    ///
    /// - Parameter configure: changes CONNECT before it is sent.
    /// - Throws: when the answer is not a CONNACK with Success.
    package func connect(
        _ clientID: String,
        _ version: ProtocolVersion = .v5,
        from address: String = "192.0.2.1",
        _ configure: (inout Connect) -> Void = { _ in }
    ) throws -> TestClient {
        let client = open(version, from: address)
        let connack = try client.connect(clientID, configure)
        guard let connack, connack.reasonCode == .success else {
            throw UnexpectedAnswer(wanted: "CONNACK with Success", got: "\(connack as Connack?)")
        }
        return client
    }

    /// A connected client with a session that outlives its connections for an hour (for ever in MQTT 3.1.1).
    package func connectPersistent(
        _ clientID: String,
        _ version: ProtocolVersion = .v5,
        from address: String = "192.0.2.1",
        _ configure: (inout Connect) -> Void = { _ in }
    ) throws -> TestClient {
        try connect(clientID, version, from: address) {
            $0.cleanStart = false
            if version == .v5 { $0.properties.sessionExpiryInterval = 3_600 }
            configure(&$0)
        }
    }
}

/// What other threads want done on the core.
private final class Mailbox: Sendable {
    let items = NIOLockedValueBox<[@Sendable (Broker) -> Void]>([])

    func take() -> [@Sendable (Broker) -> Void] {
        items.withLockedValue { items in
            defer { items = [] }
            return items
        }
    }
}

extension Broker {
    /// CONNECT where the authenticator decides at once.
    package func connect(_ request: ConnectRequest, on connection: VirtualConnection) -> ConnectResult {
        var result: ConnectResult?
        connect(request, on: connection) { result = $0 }
        guard let result else { preconditionFailure("the authenticator takes its time") }
        return result
    }
}

/// The broker answered something else than the test goes on from.
package struct UnexpectedAnswer: Error, CustomStringConvertible {
    /// What the test waits for.
    package let wanted: String
    /// What came instead.
    package let got: String

    package var description: String { "wanted \(wanted), got \(got)" }
}
