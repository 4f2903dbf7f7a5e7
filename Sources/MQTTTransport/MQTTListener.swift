package import BrokerCore
package import NIOCore
import NIOPosix
package import Proxies
import ServiceLifecycle
package import TransportSecurity

/// Listens for MQTT over TCP, in TLS if that is wanted.
package struct MQTTListener: Service {
    /// Where to listen.
    package struct Configuration: Sendable {
        /// An IPv4 or IPv6 address.
        package var host: String
        /// 0 takes any free port.
        package var port: Int
        /// The proxies whose PROXY protocol headers are believed.
        package var trustedProxies = TrustedProxies()
        /// Whether connections from trusted proxies begin with a PROXY protocol header.
        package var expectsProxyProtocol = false
        /// Encrypts; nil listens in the clear.
        package var tls: TLSServer?

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }

    /// How long clients may take to read our last words when the server stops.
    private static let farewell = TimeAmount.seconds(1)

    private let configuration: Configuration
    private let channels: MQTTChannels
    private let places: SocketPlaces
    private let core: CoreLoop
    private let eventLoopGroup: any EventLoopGroup
    private let events: EventLog

    package init(
        configuration: Configuration,
        channels: MQTTChannels,
        places: SocketPlaces,
        core: CoreLoop,
        eventLoopGroup: any EventLoopGroup,
        events: EventLog
    ) {
        self.configuration = configuration
        self.channels = channels
        self.places = places
        self.core = core
        self.eventLoopGroup = eventLoopGroup
        self.events = events
    }

    /// Listens until graceful shutdown, then takes leave of every client and waits for the connections to close.
    ///
    /// - Throws: `ListenFailed` when the address can't be had.
    package func run() async throws {
        let open = OpenChannels()
        let server = try await bind(open)
        events.note(
            .listenerBound,
            [
                .protocolName(configuration.tls == nil ? "mqtt" : "mqtts"), .address(configuration.host),
                .port(server.localAddress?.port ?? 0),
            ]
        )
        await withTaskCancellationOrGracefulShutdownHandler {
            try? await server.closeFuture.get()
        } onCancelOrGracefulShutdown: {
            server.close(promise: nil)
        }
        // The time begins when the core has said its last words, however busy it is.
        await core.perform { $0.shutdown() }
        // Those that have no session are told nothing, and those that don't read our last words get no more time.
        open.closeAll(in: Self.farewell)
        await open.allClosed()
    }

    private func bind(_ open: OpenChannels) async throws -> any Channel {
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
                .childChannelOption(
                    .recvAllocator,
                    value: AdaptiveRecvByteBufferAllocator(minimum: 256, initial: 1_024, maximum: 65_536)
                )
                .childChannelInitializer { [channels, configuration] channel in
                    channel.eventLoop.makeCompletedFuture {
                        open.add(channel)
                        // It is gone again: nobody knows whether it was a proxy, and there is nobody to talk to.
                        guard channel.remoteAddress != nil else {
                            return channel.eventLoop.execute { channel.close(promise: nil) }
                        }
                        let isTrusted = configuration.trustedProxies.contains(channel.remoteAddress)
                        try channels.accept(
                            channel,
                            isTrusted: isTrusted,
                            isProxied: isTrusted && configuration.expectsProxyProtocol,
                            tls: configuration.tls
                        )
                    }
                }
                .bind(host: configuration.host, port: configuration.port)
                .get()
        } catch {
            throw ListenFailed(address: "\(configuration.host):\(configuration.port)", reason: error.wordsOfBinding)
        }
    }
}

/// An address could not be listened on.
package struct ListenFailed: Error, CustomStringConvertible {
    /// The address, `host:port`.
    package let address: String
    /// The system's words.
    package let reason: String

    package var description: String { "mqtt: cannot listen on \(address): \(reason)" }
}
