import BrokerCore
package import CoreRuntime
package import NIOCore
import NIOPosix
package import NetworkListeners

/// Listens for MQTT over TCP, with TLS if it is configured.
package struct MQTTListener: Sendable {
    /// The address and the options of a listener.
    package struct Configuration: Sendable {
        /// An IPv4 or IPv6 address.
        package var host: String
        /// The port; 0 is any free port.
        package var port: Int
        /// The proxies whose PROXY protocol headers are trusted.
        package var trustedProxies = TrustedProxies()
        /// Whether connections from trusted proxies begin with a PROXY protocol header.
        package var expectsProxyProtocol = false
        /// The TLS configuration; nil listens without TLS.
        package var tls: TLSServer?

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }

    /// The time that clients have to read our final bytes when the server stops.
    private static let closeTime = TimeAmount.seconds(1)

    private let configuration: Configuration
    private let channels: MQTTChannels
    private let places: SocketPlaces
    private let eventLoopGroup: any EventLoopGroup
    private let events: EventLog

    /// Makes a listener; `listen` starts it.
    ///
    /// - Parameter places: the places for network connections of all listeners.
    package init(
        configuration: Configuration,
        channels: MQTTChannels,
        places: SocketPlaces,
        eventLoopGroup: any EventLoopGroup,
        events: EventLog
    ) {
        self.configuration = configuration
        self.channels = channels
        self.places = places
        self.eventLoopGroup = eventLoopGroup
        self.events = events
    }

    /// Begins to listen.
    ///
    /// - Throws: when the broker can't listen on the address.
    package func listen() async throws(ListenFailed) -> TCPListener {
        let bootstrap = ServerBootstrap(group: eventLoopGroup)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 256, initial: 1_024, maximum: 65_536)
            )
        let listening = TCPListener.Configuration(
            configuration.tls == nil ? "mqtt" : "mqtts",
            host: configuration.host,
            port: configuration.port,
            trustedProxies: configuration.trustedProxies,
            closeTime: Self.closeTime
        )
        return try await .listen(listening, bootstrap, places: places, events: events) {
            [channels, configuration] channel in
            let isTrusted = configuration.trustedProxies.contains(channel.remoteAddress)
            try channels.accept(
                channel,
                isTrusted: isTrusted,
                isProxied: isTrusted && configuration.expectsProxyProtocol,
                tls: configuration.tls
            )
        }
    }
}
