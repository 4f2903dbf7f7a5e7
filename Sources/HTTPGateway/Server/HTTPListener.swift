package import BrokerCore
package import NIOCore
import NIOPosix
import Proxies
import ServiceLifecycle
import TransportSecurity

/// Listens for HTTP/1.1, and for MQTT over WebSocket on the same port.
///
/// Every request is a virtual connection to the broker: it connects, publishes or subscribes, and disconnects, through
/// the same authentication, authorisation and queues as an MQTT client.
package struct HTTPListener: Service {
    /// Puts the MQTT handler at the end of the pipeline of a channel that has become a WebSocket, given the client's
    /// address and the user name its certificate gives it; called on the channel's event loop.
    package typealias ConfigureMQTT =
        @Sendable (_ channel: any Channel, _ address: ClientAddress, _ transportIdentity: String?) throws -> Void

    private let configuration: Configuration
    private let places: SocketPlaces
    private let bytes: ConnectionBytes
    private let refusals: Refusals
    private let core: CoreLoop
    private let eventLoopGroup: any EventLoopGroup
    private let limits: Limits
    private let configureMQTT: ConfigureMQTT
    private let events: EventLog
    private let onListening: @Sendable (Int) -> Void

    /// Makes a listener; `run` starts it.
    ///
    /// - Parameters:
    ///   - places: for network connections, of all listeners.
    ///   - bytes: what connections may keep of requests that are not whole and of answers that are not read.
    ///   - limits: what the broker grants; `maximumPacketSize` bounds bodies and WebSocket messages.
    ///   - refusals: told of what is refused because a limit is reached.
    ///   - configureMQTT: makes an MQTT connection of a WebSocket.
    ///   - onListening: told the real port once clients can connect.
    package init(
        configuration: Configuration,
        places: SocketPlaces,
        bytes: ConnectionBytes,
        refusals: Refusals = Refusals(),
        core: CoreLoop,
        eventLoopGroup: any EventLoopGroup,
        limits: Limits,
        configureMQTT: @escaping ConfigureMQTT,
        events: EventLog = .silent,
        onListening: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.places = places
        self.bytes = bytes
        self.refusals = refusals
        self.core = core
        self.eventLoopGroup = eventLoopGroup
        self.limits = limits
        self.configureMQTT = configureMQTT
        self.events = events
        self.onListening = onListening
    }

    /// Listens until graceful shutdown, then ends every request, stream and WebSocket and waits for them to close.
    ///
    /// - Throws: `ListenFailed` when the address can't be had.
    package func run() async throws {
        let gateway = Gateway(
            configuration: configuration,
            core: core,
            limits: limits,
            bytes: bytes,
            refusals: refusals,
            events: events
        )
        let channels = GatewayChannels(
            gateway,
            places: places,
            on: eventLoopGroup,
            configureMQTT: configureMQTT
        )
        let open = OpenChannels()
        let server = try await bind(channels, open)
        announce(server)
        await withTaskCancellationOrGracefulShutdownHandler {
            try? await server.closeFuture.get()
        } onCancelOrGracefulShutdown: {
            server.close(promise: nil)
        }
        // The time begins when the core has said its last words, however busy it is.
        await core.perform { $0.shutdown() }
        open.quiesce()
        open.closeAll(in: configuration.shutdownTimeout.timeAmount)
        await open.allClosed()
    }

    private func bind(_ channels: GatewayChannels, _ open: OpenChannels) async throws -> any Channel {
        do {
            return try await ServerBootstrap(group: eventLoopGroup)
                .serverChannelOption(.backlog, value: 4_096)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .serverChannelOption(.maxMessagesPerRead, value: 16)
                .serverChannelInitializer { [places, proxies = configuration.trustedProxies] channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            AcceptGate(places) { proxies.contains($0) }
                        )
                    }
                }
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                // One read at a time: a client that sends requests ahead is stopped between two.
                .childChannelOption(.maxMessagesPerRead, value: 1)
                // A client may end its half after the request, and still wants the answer.
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        open.add(channel)
                        // It is gone again: nobody knows whether it was a proxy, and there is nobody to talk to.
                        guard channel.remoteAddress != nil else {
                            return channel.eventLoop.execute { channel.close(promise: nil) }
                        }
                        try channels.configure(channel)
                    }
                }
                .bind(host: configuration.host, port: configuration.port)
                .get()
        } catch {
            throw ListenFailed(address: "\(configuration.host):\(configuration.port)", reason: error.wordsOfBinding)
        }
    }

    private func announce(_ channel: any Channel) {
        let port = channel.localAddress?.port ?? 0
        events.note(
            .listenerBound,
            [.protocolName(configuration.tls == nil ? "http" : "https"), .address(configuration.host), .port(port)]
        )
        onListening(port)
    }

    /// An address could not be listened on.
    package struct ListenFailed: Error, CustomStringConvertible {
        /// The address, `host:port`.
        package let address: String
        /// The system's words.
        package let reason: String

        package var description: String { "http: cannot listen on \(address): \(reason)" }
    }
}

extension Duration {
    var milliseconds: Int {
        let (seconds, attoseconds) = components
        return Int(seconds) * 1_000 + Int(attoseconds / 1_000_000_000_000_000)
    }

    var timeAmount: TimeAmount { .milliseconds(Int64(milliseconds)) }
}
