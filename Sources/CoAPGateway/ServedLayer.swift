import NIOCore

/// A message layer that a thread serves: one listener's sockets, and what stands between them and the server.
///
/// Made anywhere; from `enter` on it belongs to the thread that serves it.
protocol ServedLayer: MessageLayer, SendableMetatype {
    /// The port that is listened on.
    var port: Int { get }
    /// Wakes the thread up.
    var wakeUp: WakeUp { get }
    /// The keys and the certificate of its sessions, which may be replaced meanwhile; nil where nothing is encrypted.
    var security: CoAPSecurity? { get }

    /// Begins, on the thread that serves it.
    func enter()
    /// Sends what has gathered, waits for the network or a wake-up, and takes in what has come.
    ///
    /// - Parameter timeout: milliseconds; nil waits for ever.
    func turn(timeout: Int?) -> [LayerEvent]
    /// When `maintain` has something to do; nil when nothing is waited for.
    var nextDeadline: NIODeadline? { get }
    /// Does what is due: sends again what was not acknowledged, forgets idle endpoints, ends handshakes that take too long.
    func maintain(now: NIODeadline) -> [LayerEvent]
    /// An event has been dealt with; what it names may go.
    func done(_ event: LayerEvent)
    /// Ends the sessions of those whose key is another one now, or gone; shows the certificate that is in force from now on.
    ///
    /// - Returns: what comes of it, to be dealt with before anything is sent.
    func endOutdatedSessions() -> [LayerEvent]
    /// Accepts no connections any more.
    func stopAccepting()
    /// Sends what has gathered and closes the sockets; nothing may be held any more.
    func close()
}

/// What the network has brought about, in order.
enum LayerEvent {
    case received(CoAPRequest, EndpointID)
    /// A Reset for what is no confirmable message of ours (RFC 7641 §3.6).
    case reset(UInt16, EndpointID)
    /// A confirmable message is over; if it failed, `failed` came before.
    case finished(ConfirmableID)
    case failed(ConfirmableID, DeliveryFailure)
    /// A handshake, or the beginning of a connection, has come to nothing.
    case refused(HandshakeRefusal)
    /// The secure session or the connection is over; the endpoint itself goes when it is no longer held.
    case lost(EndpointID)
    /// There is room again where `hasRoom` said that there was none.
    case drained(EndpointID)
    case gone(EndpointID)
}

/// A handshake of DTLS or TLS, or the beginning of a connection, that came to nothing.
struct HandshakeRefusal {
    let remoteAddress: String
    /// The name of a pre-shared key; nil without one.
    let identity: String?
    let words: String
}
