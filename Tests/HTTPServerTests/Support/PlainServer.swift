import BrokerCore
import CoreRuntime
import HTTPServer
import HTTPTestSupport
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NetworkListeners

/// A server on a free port, with a responder of its own and no broker.
struct PlainServer: Sendable {
    let port: Int
    let responder: TestResponder
    let eventLoopGroup: any EventLoopGroup
    /// What connections keep.
    let bytes: ConnectionBytes
    /// Stops the server gracefully; may be called again.
    let stop: @Sendable () async -> Void

    /// Runs a server, then the test, then stops the server and waits for it.
    static func run(
        maximumBody: Int = 8_000_000,
        hasWebSockets: Bool = true,
        places: SocketPlaces = SocketPlaces(Quota.Limit(total: 1_000, perAddress: 1_000)),
        events: EventLog = .silent,
        configuration: Server.Configuration = .test { _ in },
        _ test: @escaping @Sendable (PlainServer) async throws -> Void
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let responder = TestResponder(maximumBody: maximumBody, hasWebSockets: hasWebSockets)
        let bytes = ConnectionBytes(Quota.Limit(total: 100_000_000))
        let listening = try await Server(
            configuration: configuration,
            responder: responder,
            eventLoopGroup: group,
            places: places,
            bytes: bytes,
            events: events
        )
        .listen()
        let stop = { @Sendable in
            await listening.stopAccepting()
            await listening.drain()
        }
        let server = PlainServer(
            port: listening.port,
            responder: responder,
            eventLoopGroup: group,
            bytes: bytes,
            stop: stop
        )
        do {
            try await test(server)
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
}

extension Server.Configuration {
    /// A free port on loopback, and what a test wants to be otherwise.
    static func test(_ change: (inout Self) -> Void) -> Self {
        var configuration = Self(host: "127.0.0.1", port: 0)
        // What tests say in Host.
        configuration.hostnames = ["a", "test"]
        change(&configuration)
        return configuration
    }
}
