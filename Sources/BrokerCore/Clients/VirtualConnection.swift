import MQTTCodec
import NIOCore

/// The core's state of one connected client, in any protocol.
///
/// An adapter makes one for each MQTT network connection, CoAP endpoint or HTTP exchange, and passes it to every call
/// on `Broker`. All its state belongs to the core loop.
package final class VirtualConnection: @unchecked Sendable {
    // Sendable so that adapters on other threads can hold it as a handle; nothing but the core loop looks inside.

    /// How the client has connected; for logs, metrics and authorisation.
    package enum TransportProtocol: String, CaseIterable, Sendable {
        case mqtt
        case websocket
        case http
        case coap
    }

    /// The destination of messages for the client; chosen once, so that the hot path has no dynamic dispatch.
    package enum Outlet {
        /// MQTT bytes: TCP, TLS, WebSocket.
        case packets(PacketStream)
        /// Messages for an adapter of another protocol.
        case messages(MessageSink)
    }

    // The properties that each packet and flush reads come first: they lie in a few cache lines.
    let outlet: Outlet
    /// The attached session; nil before CONNECT and after the end.
    @exclusivity(unchecked) var session: Session?
    /// Whether it is on the list of connections to flush at the end of this tick.
    @exclusivity(unchecked) var isDirty = false
    /// Whether some of its output waits for the store.
    @exclusivity(unchecked) var isHeld = false
    /// Whether it has ended, so that no memory is kept for it.
    @exclusivity(unchecked) var isOver = false
    /// Bytes of an incomplete packet that the adapter keeps.
    @exclusivity(unchecked) var inputBytes = 0
    /// Bytes that are counted for it; see `Broker+Buffers`.
    @exclusivity(unchecked) var countedBytes = 0
    /// When the client last sent something, for Keep Alive.
    @exclusivity(unchecked) var lastActivity = NIODeadline.distantPast
    /// Its CONNECT, while authentication is pending.
    var pendingConnect: PendingConnect?

    /// How the client has connected.
    package let transportProtocol: TransportProtocol
    /// The peer as text, for example `192.0.2.7:50123`.
    package let remoteAddress: String
    /// The client's identity according to the transport: the name of a certificate, a DTLS PSK identity; nil without
    /// one.
    package let transportIdentity: String?
    /// The network whose share of the limits it uses; nil uses no share, for example a trusted proxy's own connection.
    let network: ClientNetwork?
    /// The last batch with a change that the client of a former session waits for.
    var lastBatch: UInt64 = 0
    /// Keep Alive times one and a half; nil when switched off.
    var keepAliveTimeout: TimeAmount?
    /// Whether the client authenticated with a token.
    package internal(set) var hasToken = false
    /// When the token expires; nil is never.
    var tokenExpiresAt: NIODeadline?

    /// Checks the connect timeout, then Keep Alive.
    var lookTimer: TimerQueue.Entry?
    /// Checks whether the token has expired.
    var tokenTimer: TimerQueue.Entry?
    /// The holder whose shares it uses: its address, and its user once it has a session.
    var holder: Holder
    /// Bytes that are kept until it ends: Topic Aliases, or a CONNECT during enhanced authentication.
    var keptBytes = 0
    /// The part of these bytes that is counted in its holder's share.
    @exclusivity(unchecked) var sharedBytes = 0
    private var ownReference: ConnectionReference?

    /// Makes the core's end of a connection.
    package init(
        transportProtocol: TransportProtocol,
        address: ClientAddress,
        transportIdentity: String? = nil,
        outlet: Outlet
    ) {
        self.transportProtocol = transportProtocol
        remoteAddress = address.description
        network = address.network
        self.transportIdentity = transportIdentity
        holder = Holder(network: network)
        self.outlet = outlet
    }

    /// Makes the core's end of a connection from its peer's address as adapters write it.
    package convenience init(
        transportProtocol: TransportProtocol,
        remoteAddress: String,
        transportIdentity: String? = nil,
        outlet: Outlet
    ) {
        self.init(
            transportProtocol: transportProtocol,
            address: ClientAddress(remoteAddress),
            transportIdentity: transportIdentity,
            outlet: outlet
        )
    }

    /// The Client Identifier, once connected.
    package var clientID: String? { session?.clientID }
    /// The authenticated user name; nil for an anonymous client, and before CONNECT.
    package var userName: String? { session?.userName }
    /// Whether a session is attached.
    package var isConnected: Bool { session != nil }

    /// The reference that timers hold; made once, and emptied by `forgetReference`.
    func reference() -> ConnectionReference {
        if let ownReference { return ownReference }
        let made = ConnectionReference(self)
        ownReference = made
        return made
    }

    /// The connection is over: its reference is empty from now on, and a pending answer to its CONNECT is ignored.
    func forgetReference() {
        ownReference?.connection = nil
        ownReference = nil
        pendingConnect = nil
    }
}

/// The reference to a connection for timers that may outlive it.
///
/// A weak reference would do the same, but make every reference count of the connection, on the hot path, several
/// times more expensive.
final class ConnectionReference {
    fileprivate(set) var connection: VirtualConnection?

    fileprivate init(_ connection: VirtualConnection) { self.connection = connection }
}
