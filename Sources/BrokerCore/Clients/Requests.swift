package import MQTTCodec
package import NIOCore

/// What a client asks for when it connects: CONNECT in MQTT 5.0 terms, whatever the client's dialect.
package struct ConnectRequest: Sendable {
    /// Empty: the broker assigns one.
    package var clientID: String
    /// Discard what a former session left.
    package var cleanStart: Bool
    /// Which session it gets.
    package enum Scope: Sendable {
        /// The one of its Client Identifier: it is taken over, or made.
        case clientID
        /// One that only its connection has, as long as that lasts: authenticated and authorised under the Client Identifier
        /// like any other, but the session of that name, and its connection, are left alone.
        case connection
        /// The same for one request, which is over in a moment.
        case request
        /// One of the broker's own: the Client Identifier names it among these.
        case own
    }

    package var scope: Scope
    /// Seconds the session outlives its connection; 0 ends with it, `UInt32.max` never ends.
    package var sessionExpiryInterval: UInt32
    /// Seconds; 0 switches the check off.
    package var keepAlive: UInt16
    /// Whether it can be told another Keep Alive than it asked for; who can't keeps its own.
    package var takesServerKeepAlive = true
    /// Published when the connection ends without DISCONNECT.
    package var will: Will?
    package var userName: String?
    package var password: ByteBuffer?
    /// Whether the password was shown as a token, which says by itself whose it is (RFC 6750).
    package var isToken = false
    /// QoS 1 and 2 messages the client takes unacknowledged at a time, 1 to 65,535.
    package var receiveMaximum: UInt16
    /// Bytes; a larger packet is dropped for this client alone [MQTT-3.1.2-24].
    package var maximumPacketSize: Int

    /// - Parameter isTransient: whether its scope is one request.
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
    /// Whether nobody but its connection finds its session.
    var isNameless: Bool { scope == .connection || scope == .request }
}

/// The broker's answer to CONNECT.
package struct ConnectResult: Sendable {
    /// Success, or why not; on an error nothing is attached and the adapter closes.
    package let reasonCode: ReasonCode
    /// A former session goes on.
    package let sessionPresent: Bool
    /// The Client Identifier in use.
    package let clientID: String
    /// Names this session and no other one of its Client Identifier; `.none` when refused.
    package let sessionNumber: SessionNumber
    /// Whether the broker chose it.
    package let isAssigned: Bool
    /// Seconds the session will outlive its connection, after the server's limit.
    package let sessionExpiryInterval: UInt32
    /// Keep Alive in force, seconds, after the server's limit.
    package let keepAlive: UInt16

    /// The client is not let in.
    package static func refused(_ reason: ReasonCode, clientID: String) -> ConnectResult {
        ConnectResult(
            reasonCode: reason,
            sessionPresent: false,
            clientID: clientID,
            sessionNumber: .none,
            isAssigned: false,
            sessionExpiryInterval: 0,
            keepAlive: 0
        )
    }
}
