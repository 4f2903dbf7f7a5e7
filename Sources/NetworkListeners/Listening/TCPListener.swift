import BrokerCore
package import CoreRuntime
package import NIOCore
package import NIOPosix

/// An address over TCP that is listened on, and the connections that were accepted there.
///
/// It stops in two steps, `stopAccepting` and `drain`; between them whoever owns it says the final packets to the clients.
package struct TCPListener: Sendable {
    /// Where to listen, and for how long clients are waited for at the end.
    package struct Configuration: Sendable {
        /// For the log: `mqtt`, `https`.
        package let protocolName: String
        /// An IPv4 or IPv6 address.
        package let host: String
        /// 0 takes any free port.
        package let port: Int
        /// The proxies, whose own addresses have no share of the connections.
        package let trustedProxies: TrustedProxies
        /// How long clients may take to read the final packets.
        package let closeTime: TimeAmount

        package init(
            _ protocolName: String,
            host: String,
            port: Int,
            trustedProxies: TrustedProxies,
            closeTime: TimeAmount
        ) {
            self.protocolName = protocolName
            self.host = host
            self.port = port
            self.trustedProxies = trustedProxies
            self.closeTime = closeTime
        }
    }

    private let server: any Channel
    private let open: OpenChannels
    private let closeTime: TimeAmount

    /// Listens, and says so in the log.
    ///
    /// - Parameters:
    ///   - bootstrap: has the options of the protocol's connections.
    ///   - places: for network connections, of all listeners.
    ///   - configure: fills the pipeline of a connection that was accepted; on its event loop.
    /// - Throws: when the address can't be had.
    package static func listen(
        _ configuration: Configuration,
        _ bootstrap: ServerBootstrap,
        places: SocketPlaces,
        events: EventLog,
        configure: @escaping @Sendable (any Channel) throws -> Void
    ) async throws(ListenFailed) -> TCPListener {
        let open = OpenChannels()
        do {
            let server =
                try await bootstrap
                .serverChannelOption(.backlog, value: 4_096)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .serverChannelOption(.maxMessagesPerRead, value: 16)
                .serverChannelInitializer { [proxies = configuration.trustedProxies] channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(AcceptGate(places) { proxies.contains($0) })
                    }
                }
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        open.add(channel)
                        // It is gone again: nobody knows whether it was a proxy, and there is nobody to talk to.
                        guard channel.remoteAddress != nil else {
                            return channel.eventLoop.execute { channel.close(promise: nil) }
                        }
                        try configure(channel)
                    }
                }
                .bind(host: configuration.host, port: configuration.port)
                .get()
            let listener = TCPListener(server: server, open: open, closeTime: configuration.closeTime)
            events.note(
                .listenerBound,
                [.protocolName(configuration.protocolName), .address(configuration.host), .port(listener.port)]
            )
            return listener
        } catch {
            throw ListenFailed(
                protocolName: configuration.protocolName,
                address: "\(configuration.host):\(configuration.port)",
                reason: error.wordsOfBinding
            )
        }
    }

    /// The port, which the system may have chosen.
    package var port: Int { server.localAddress?.port ?? 0 }

    /// Waits until nobody is accepted any more, by whatever cause.
    package func ended() async { try? await server.closeFuture.get() }

    /// Accepts nobody any more; connections go on.
    package func stopAccepting() async { try? await server.close() }

    /// Closes the connections: at once those that wait for nothing, and the others when they have read the final packets or
    /// have taken too long.
    package func drain() async {
        open.quiesce()
        open.closeAll(in: closeTime)
        await open.allClosed()
    }
}
