package import MQTTCodec
package import NIOCore

/// A client's CONNECT, in MQTT 5.0 terms for all protocols.
package struct ConnectRequest: Sendable {
    /// The Client Identifier; when it is empty, the broker assigns one.
    package var clientID: String
    /// Whether the former session is discarded.
    package var cleanStart: Bool
    /// The session that the client gets.
    package enum Scope: Sendable {
        /// The session of its Client Identifier, which is taken over or made.
        case clientID
        /// A session of the connection alone, which ends with it.
        ///
        /// The client is authenticated and authorised under its Client Identifier. A session of that name, and its
        /// connection, are not touched.
        case connection
        /// The same for a single short request.
        case request
        /// A session of the broker's own, with the Client Identifier as its name among these.
        case own
    }

    package var scope: Scope
    /// Seconds that the session outlives its connection; 0 ends the session with it, `UInt32.max` never ends it.
    package var sessionExpiryInterval: UInt32
    /// Keep Alive in seconds; 0 switches the check off.
    package var keepAlive: UInt16
    /// Whether the client accepts a Server Keep Alive; a client that can't accept one keeps its own Keep Alive.
    package var takesServerKeepAlive = true
    /// The will, published when the connection ends without DISCONNECT.
    package var will: Will?
    package var userName: String?
    package var password: ByteBuffer?
    /// Whether the password is a bearer token, which identifies its user by itself (RFC 6750).
    package var isToken = false
    /// QoS 1 and 2 messages that the client takes before it acknowledges one, 1 to 65,535.
    package var receiveMaximum: UInt16
    /// Maximum Packet Size in bytes; a larger packet is dropped for this client alone [MQTT-3.1.2-24].
    package var maximumPacketSize: Int

    /// - Parameter isTransient: whether the scope is one request.
    package init(
        clientID: String = "",
        cleanStart: Bool = true,
        isTransient: Bool = false,
        sessionExpiryInterval: UInt32 = 0,
        keepAlive: UInt16 = 0,
        will: Will? = nil,
        userName: String? = nil,
        password: ByteBuffer? = nil,
        receiveMaximum: UInt16 = .max,
        maximumPacketSize: Int = .max
    ) {
        self.clientID = clientID
        self.cleanStart = cleanStart
        scope = isTransient ? .request : .clientID
        self.sessionExpiryInterval = sessionExpiryInterval
        self.keepAlive = keepAlive
        self.will = will
        self.userName = userName
        self.password = password
        self.receiveMaximum = receiveMaximum
        self.maximumPacketSize = maximumPacketSize
    }
}

extension ConnectRequest {
    /// Whether only its own connection finds its session.
    var isNameless: Bool { scope == .connection || scope == .request }
}
