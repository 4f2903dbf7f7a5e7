import BrokerCore
import CoreRuntime
import HTTPGateway
import HTTPServer
import HTTPTestSupport
import MQTTTransport
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NetworkListeners

/// A listener with a core and a broker of its own, on a free port.
struct TestServer: Sendable {
    let port: Int
    let core: CoreLoop
    let eventLoopGroup: any EventLoopGroup
    /// What connections keep.
    let bytes: ConnectionBytes
    /// Stops the listener gracefully; may be called again.
    let stop: @Sendable () async -> Void

    /// Runs a server, then the test, then stops the server and waits for it.
    static func run(
        limits: Limits = Limits(),
        access: AccessTable? = nil,
        authenticator: (any Authenticator & Sendable)? = nil,
        places: SocketPlaces? = nil,
        configuration: HTTPListener.Configuration = .test { _ in },
        _ test: @escaping @Sendable (TestServer) async throws -> Void
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let authenticator: (any Authenticator)? = authenticator ?? access
        let broker = Broker(
            limits: limits,
            authenticator: authenticator ?? AnonymousAccess(),
            authorizer: access,
            now: .now()
        )
        let core = CoreLoop(eventLoop: group.next(), broker: broker)
        let places = places ?? SocketPlaces(Quota.Limit(total: limits.connections, perAddress: limits.connections))
        let bytes = ConnectionBytes(Quota.Limit(total: limits.connectionBytes))
        let channels = MQTTChannels(core: core, eventLoopGroup: group, limits: limits, places: places, bytes: bytes)
        let listening = try await HTTPListener(
            configuration: configuration,
            places: places,
            bytes: bytes,
            core: core,
            eventLoopGroup: group,
            limits: limits,
            configureMQTT: {
                try channels.configure($0, transportProtocol: .websocket, address: $1, transportIdentity: $2)
            },
            events: .silent
        )
        .listen()
        // As the composition does it.
        let stop = { @Sendable in
            await listening.stopAccepting()
            await core.perform { $0.shutdown() }
            await listening.drain()
        }
        do {
            try await test(
                TestServer(port: listening.port, core: core, eventLoopGroup: group, bytes: bytes, stop: stop)
            )
        } catch {
            await stop()
            throw error
        }
        await stop()
        try await group.shutdownGracefully()
    }

    /// A new connection to it.
    func connect() async throws -> RawClient { try await RawClient.connect(to: port, on: eventLoopGroup) }

    /// One request on a connection of its own.
    func request(
        _ method: String,
        _ target: String,
        _ fields: [String] = [],
        body: String? = nil
    ) async throws -> Answer {
        try await connect().request(method, target, fields, body: body)
    }

    /// Publishes a message, and expects that it is accepted.
    func publish(_ topic: String, _ payload: String, query: String = "") async throws {
        let answer = try await request("POST", "/publish?topic=\(topic)\(query)", body: payload)
        guard answer.status == 200 else { throw Unexpected(answer.text) }
    }

    /// Runs something on the core.
    func onCore<Value: Sendable>(_ work: @escaping @Sendable (Broker) -> Value) async -> Value {
        await core.perform(work)
    }
}

extension HTTPListener.Configuration {
    /// A free port on loopback, and what a test wants to be otherwise.
    static func test(_ change: (inout Self) -> Void) -> Self {
        var configuration = Self(server: .init(host: "127.0.0.1", port: 0))
        // What tests say in Host.
        configuration.server.hostnames = ["a", "test"]
        change(&configuration)
        return configuration
    }
}

/// A value that somebody waits for, for a time.
final class Waiter<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var promise: EventLoopPromise<Value>?
    }

    private let state = NIOLockedValueBox(State())

    func fulfil(_ value: Value) {
        let promise = state.withLockedValue { state in
            state.value = value
            return state.promise
        }
        promise?.succeed(value)
    }

    func value(within time: TimeAmount, on loop: any EventLoop) async throws -> Value {
        let promise = loop.makePromise(of: Value.self)
        let value = state.withLockedValue { state in
            state.promise = promise
            return state.value
        }
        if let value { promise.succeed(value) }
        let deadline = loop.scheduleTask(in: time) { promise.fail(Unexpected("nothing came")) }
        defer { deadline.cancel() }
        return try await promise.futureResult.get()
    }
}

/// Users with passwords, and the one topic tree that each of them may use; `open/#` is everybody's.
final class AccessTable: Authenticator, Authorizer, Sendable {
    private let passwords: [String: String]
    private let allowsAnonymous: Bool
    private let hidden = NIOLockedValueBox<Set<String>>([])

    init(_ passwords: [String: String], allowsAnonymous: Bool) {
        self.passwords = passwords
        self.allowsAnonymous = allowsAnonymous
    }

    func authenticate(_ credentials: Credentials) -> Authentication {
        guard !credentials.isToken else { return .badCredentials }
        guard let userName = credentials.userName else {
            return allowsAnonymous ? .accepted(userName: nil) : .notAuthorized
        }
        guard let password = credentials.password, passwords[userName] == String(buffer: password) else {
            return .badCredentials
        }
        return .accepted(userName: userName)
    }

    func mayPublish(_ topic: String, client: ClientIdentity) -> Bool { isAllowed(topic, client) }

    func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool { isAllowed(filter, client) }

    /// From now on nobody may read the topic.
    func hide(_ topic: String) { hidden.withLockedValue { _ = $0.insert(topic) } }

    private func isAllowed(_ topic: String, _ client: ClientIdentity) -> Bool {
        !hidden.withLockedValue { $0.contains(topic) } && isAnybodys(topic, client)
    }

    private func isAnybodys(_ topic: String, _ client: ClientIdentity) -> Bool {
        topic.hasPrefix("open/") || topic.hasPrefix((client.userName ?? "nobody") + "/")
    }
}

/// Waits until the broker is as wanted; each look goes through the core's mailbox, so nothing is slept away.
func waitFor(_ server: TestServer, _ isSo: @escaping @Sendable (Broker) -> Bool) async throws {
    let deadline = NIODeadline.now() + .seconds(30)
    while await !server.onCore(isSo) {
        guard NIODeadline.now() < deadline else { throw Unexpected("the broker is not as it should be") }
    }
}
