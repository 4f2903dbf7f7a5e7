import MQTTCodec
import NIOCore

/// What the core knows of a connected client, whatever it speaks.
///
/// An adapter makes one for each MQTT network connection, CoAP endpoint or HTTP exchange, and passes it to every call
/// on `Broker`. All its state belongs to the core loop.
package final class VirtualConnection: @unchecked Sendable {
    // Sendable so that adapters on other threads can hold it as a handle; nothing but the core loop looks inside.

    /// How the client reached us; for logs, metrics and authorisation.
    package enum TransportProtocol: String, CaseIterable, Sendable {
        case mqtt
        case websocket
        case http
        case coap
    }

    /// Where messages for the client go; chosen once, so that the hot path has no dynamic dispatch.
    package enum Outlet {
        /// MQTT bytes: TCP, TLS, WebSocket.
        case packets(PacketStream)
        /// Messages for an adapter with a dialect of its own.
        case messages(MessageSink)
    }

    // First what each packet and flush looks at: it lies in a few lines of cache.
    let outlet: Outlet
    /// The session it is attached to; nil before CONNECT and after the end.
    @exclusivity(unchecked) var session: Session?
    /// Already on the list of connections to flush at the end of this tick.
    @exclusivity(unchecked) var isDirty = false
    /// Whether something of it waits for the store.
    @exclusivity(unchecked) var isHeld = false
    /// Whether it has ended, so that nothing is kept for it.
    @exclusivity(unchecked) var isOver = false
    /// Bytes of what its client has sent that the adapter keeps: half a packet.
    @exclusivity(unchecked) var inputBytes = 0
    /// What is counted of what it keeps; see `Broker+Buffers`.
    @exclusivity(unchecked) var countedBytes = 0
    /// When the client was last heard of, for Keep Alive.
    @exclusivity(unchecked) var lastActivity = NIODeadline.distantPast
    /// Its CONNECT, while the answer to its credentials is waited for.
    var pendingConnect: PendingConnect?

    /// How the client reached us.
    package let transportProtocol: TransportProtocol
    /// The peer as text, for example `192.0.2.7:50123`.
    package let remoteAddress: String
    /// Who the transport says the client is: a certificate's name, a DTLS PSK identity; nil if it says nothing.
    package let transportIdentity: String?
    /// Whose share of what is for all it uses; nil when it counts for nobody's, as a trusted proxy's own connection.
    let network: ClientNetwork?
    /// The last batch with something in it that the client of a former session waits for.
    var lastBatch: UInt64 = 0
    /// Keep Alive times one and a half; nil when switched off.
    var keepAliveTimeout: TimeAmount?
    /// Whether the client was let in by a token.
    package internal(set) var hasToken = false
    /// When the token is over; nil is never.
    var tokenExpiresAt: NIODeadline?

    /// Looks whether it has connected in time, then whether it is alive.
    var lookTimer: TimerQueue.Entry?
    /// Looks whether its token is over.
    var tokenTimer: TimerQueue.Entry?
    /// For whom what it keeps is counted: its address, and, once it has a session, its user.
    var holder: Holder
    /// Bytes that are kept as long as it lasts: Topic Aliases; or a CONNECT during enhanced authentication.
    var keptBytes = 0
    /// What of that is counted in its holder's share.
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

    /// Makes the core's end of a connection, given its peer's address as adapters write it.
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
    /// The user name it was let in under; nil for an anonymous client, and before CONNECT.
    package var userName: String? { session?.userName }
    /// Whether a session is attached.
    package var isConnected: Bool { session != nil }

    /// What timers hold of it; made once, and emptied by `forgetReference`.
    func reference() -> ConnectionReference {
        if let ownReference { return ownReference }
        let made = ConnectionReference(self)
        ownReference = made
        return made
    }

    /// The connection is over: whoever still holds its reference holds nothing, and an answer to its CONNECT that is
    /// still to come finds nobody.
    func forgetReference() {
        ownReference?.connection = nil
        ownReference = nil
        pendingConnect = nil
    }
}

/// Stands for a connection in timers that may outlive it.
///
/// A weak reference would do the same, but make every count of a reference to the connection, on the hot path, several
/// times dearer.
final class ConnectionReference {
    fileprivate(set) var connection: VirtualConnection?

    fileprivate init(_ connection: VirtualConnection) { self.connection = connection }
}
