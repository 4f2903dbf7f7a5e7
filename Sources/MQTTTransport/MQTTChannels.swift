package import BrokerCore
package import CoreRuntime
package import NIOCore
package import NetworkListeners

/// Adds the MQTT handler to channels with any byte filters below it, and counts open channels.
package final class MQTTChannels: Sendable {
    private let core: CoreLoop
    private let limits: Limits
    private let places: SocketPlaces
    private let bytes: ConnectionBytes
    private let events: EventLog
    private let bridges: [ObjectIdentifier: LoopBridge]

    /// Makes the bridges between the core loop and each other loop of the group.
    ///
    /// - Parameters:
    ///   - places: the places for network connections of all listeners.
    ///   - bytes: the limit of bytes for incomplete packets.
    package init(
        core: CoreLoop,
        eventLoopGroup: any EventLoopGroup,
        limits: Limits,
        places: SocketPlaces,
        bytes: ConnectionBytes,
        events: EventLog = .silent
    ) {
        self.bytes = bytes
        self.events = events
        self.core = core
        self.limits = limits
        self.places = places
        var bridges: [ObjectIdentifier: LoopBridge] = [:]
        for loop in eventLoopGroup.makeIterator() where loop !== core.eventLoop {
            bridges[ObjectIdentifier(loop)] = LoopBridge(loop: loop, core: core)
        }
        self.bridges = bridges
    }

    /// Adds the MQTT handler at the end of a channel's pipeline; on the channel's event loop.
    ///
    ///   - address: the client's address; nil is the channel's peer.
    ///   - address: where the client is; nil is the other end of the channel.
    ///   - transportIdentity: the user name from the client's certificate.
    package func configure(
        _ channel: any Channel,
        transportProtocol: VirtualConnection.TransportProtocol,
        address: ClientAddress? = nil,
        transportIdentity: String? = nil
    ) throws {
        let handler = MQTTChannelHandler(
            core: core,
            bridge: bridges[ObjectIdentifier(channel.eventLoop)],
            transportProtocol: transportProtocol,
            address: address,
            transportIdentity: transportIdentity,
            limits: limits,
            bytes: bytes
        )
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    /// Sets up an accepted channel as an MQTT connection; on the channel's event loop.
    ///
    /// A PROXY protocol header comes first, then the TLS handshake, if they are configured; each may take as long as
    /// CONNECT may.
    ///
    /// - Parameters:
    ///   - isTrusted: whether the peer is a trusted proxy.
    ///   - isProxied: whether the connection begins with a PROXY protocol header.
    package func accept(_ channel: any Channel, isTrusted: Bool = false, isProxied: Bool, tls: TLSServer?) throws {
        guard isProxied else {
            return try secure(channel, tls, ClientAddress(channel.remoteAddress, isProxy: isTrusted))
        }
        let peer = ClientAddress(channel.remoteAddress, isProxy: true)
        let reader = ProxyHeaderReader(timeout: timeout) { [events] failure in
            events.note(
                .clientRefused,
                by: peer,
                level: failure.isOrdinary ? .debug : nil,
                [.protocolName("mqtt"), .reason("no PROXY header"), .detail(failure.words)]
            )
        } onHeader: { header in
            guard let client = header.client.map({ ClientAddress("\($0)") }) else {
                return try self.secure(channel, tls, ClientAddress(channel.remoteAddress, isProxy: true))
            }
            guard self.places.assign(channel, to: client) else { throw NoPlace() }
            try self.secure(channel, tls, client)
        }
        try channel.pipeline.syncOperations.addHandler(reader)
    }

    private struct NoPlace: Error {}

    private func secure(_ channel: any Channel, _ tls: TLSServer?, _ address: ClientAddress) throws {
        guard let tls else { return try configure(channel, transportProtocol: .mqtt, address: address) }
        try tls.secure(channel, timeout: timeout, address: address) { identity in
            try self.configure(channel, transportProtocol: .mqtt, address: address, transportIdentity: identity)
        }
    }

    private var timeout: TimeAmount { .seconds(Int64(limits.connectTimeout)) }
}
