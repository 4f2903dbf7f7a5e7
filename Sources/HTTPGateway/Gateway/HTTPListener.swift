package import BrokerCore
package import CoreRuntime
import HTTPServer
package import NIOCore
package import NetworkListeners

/// Listens for HTTP/1.1, and for MQTT over WebSocket on the same port.
///
/// Every request is a virtual connection to the broker: it connects, publishes or subscribes, and disconnects, through
/// the same authentication, authorisation and queues as an MQTT client.
package struct HTTPListener: Sendable {
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

    /// Makes a listener; `listen` starts it.
    ///
    /// - Parameters:
    ///   - places: for network connections, of all listeners.
    ///   - bytes: what connections may keep of requests that are not whole and of answers that are not read.
    ///   - limits: what the broker grants; `maximumPacketSize` bounds bodies and WebSocket messages.
    ///   - refusals: told of what is refused because a limit is reached.
    ///   - configureMQTT: makes an MQTT connection of a WebSocket.
    package init(
        configuration: Configuration,
        places: SocketPlaces,
        bytes: ConnectionBytes,
        refusals: Refusals = Refusals(),
        core: CoreLoop,
        eventLoopGroup: any EventLoopGroup,
        limits: Limits,
        configureMQTT: @escaping ConfigureMQTT,
        events: EventLog = .silent
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
    }

    /// Begins to listen.
    ///
    /// - Throws: when the address can't be had.
    package func listen() async throws(ListenFailed) -> TCPListener {
        let gateway = Gateway(
            configuration: configuration,
            core: core,
            limits: limits,
            bytes: bytes,
            refusals: refusals,
            configureMQTT: configureMQTT,
            events: events
        )
        let server = Server(
            configuration: configuration.server,
            responder: gateway,
            eventLoopGroup: eventLoopGroup,
            places: places,
            bytes: bytes,
            events: events
        )
        return try await server.listen()
    }
}
