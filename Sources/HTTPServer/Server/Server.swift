import BrokerCore
package import CoreRuntime
package import NIOCore
import NIOPosix
package import NetworkListeners

/// An HTTP/1.1 server at one address: it reads and checks requests, and a `Responder` answers them.
///
/// It knows no routes, topics or sessions. Of `BrokerCore` and `CoreRuntime` it uses addresses, the log, and the places and bytes of
/// connections.
package struct Server: Sendable {
    private let context: ServerContext
    private let eventLoopGroup: any EventLoopGroup

    /// Makes a server; `listen` starts it.
    ///
    /// - Parameters:
    ///   - places: for network connections, of all listeners.
    ///   - bytes: what connections may keep of incomplete requests and of answers that are not read.
    package init(
        configuration: Configuration,
        responder: any Responder,
        eventLoopGroup: any EventLoopGroup,
        places: SocketPlaces,
        bytes: ConnectionBytes,
        events: EventLog = .silent
    ) {
        self.eventLoopGroup = eventLoopGroup
        context = ServerContext(
            configuration,
            responder,
            eventLoopGroup,
            places: places,
            bytes: bytes,
            events: events
        )
    }

    /// Begins to listen.
    ///
    /// - Throws: when the address can't be had.
    package func listen() async throws(ListenFailed) -> TCPListener {
        let configuration = context.configuration
        let bootstrap = ServerBootstrap(group: eventLoopGroup)
            // One read at a time: a client that sends requests ahead is stopped between two.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            // A client may end its half after the request, and still wants the answer.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
        let listening = TCPListener.Configuration(
            configuration.tls == nil ? "http" : "https",
            host: configuration.host,
            port: configuration.port,
            trustedProxies: configuration.trustedProxies,
            closeTime: configuration.shutdownTimeout.timeAmount
        )
        return try await .listen(listening, bootstrap, places: context.places, events: context.events) {
            [context] in try context.configure($0)
        }
    }
}

extension Duration {
    /// For NIO, in whole milliseconds.
    package var timeAmount: TimeAmount {
        let (seconds, attoseconds) = components
        return .milliseconds(seconds * 1_000 + attoseconds / 1_000_000_000_000_000)
    }
}
