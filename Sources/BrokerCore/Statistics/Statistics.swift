/// Counts since the start.
///
/// Packets and bytes are those of MQTT connections; messages are those of all clients.
package struct Statistics: Sendable, Equatable {
    /// MQTT Control Packets, of any type.
    package var packetsReceived: UInt64 = 0
    package var packetsSent: UInt64 = 0
    /// Bytes of MQTT connections.
    package var bytesReceived: UInt64 = 0
    package var bytesSent: UInt64 = 0
    /// Messages published by clients and accepted.
    package var published: UInt64 = 0
    /// Payload bytes of published messages.
    package var publishedBytes: UInt64 = 0
    /// Messages handed to clients' outlets.
    package var delivered: UInt64 = 0
    /// Payload bytes of delivered messages.
    package var deliveredBytes: UInt64 = 0
    /// Messages that were not delivered to one client: its queue or connection was full, or they were too large or had
    /// expired.
    package var dropped: UInt64 = 0
    /// MQTT network connections opened.
    package var sockets: UInt64 = 0
    /// Clients whose CONNECT was accepted.
    package var connections: UInt64 = 0
    /// The highest number of clients connected at a time.
    package var maximumConnected = 0
    /// Sessions whose Session Expiry Interval ended.
    package var sessionsExpired: UInt64 = 0

    /// Clients that were refused because a limit was reached: connections, sessions.
    package var connectionsRefused: UInt64 = 0
    package var sessionsRefused: UInt64 = 0
    /// Idle sessions that were removed for new ones.
    package var sessionsGivenWay: UInt64 = 0
    /// Subscriptions and retained messages that were refused because a limit was reached.
    package var subscriptionsRefused: UInt64 = 0
    package var retainedRefused: UInt64 = 0

    package init() {}
}
