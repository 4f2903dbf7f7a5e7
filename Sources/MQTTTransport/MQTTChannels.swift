package import BrokerCore
package import NIOCore
package import Network

/// Puts the MQTT handler onto channels, whatever byte filters stand below it, and knows how many are open.
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
    ///   - places: for network connections, of all listeners.
    ///   - bytes: what connections may keep of packets that are not whole.
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
    /// - Parameters:
    ///   - address: where the client is; nil is the other end of the channel.
    ///   - transportIdentity: the user name that a certificate has given it.
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

    /// Makes an MQTT connection of one that was just accepted; on the channel's event loop.
    ///
    /// First a proxy says who the client is, then TLS is agreed on, if either is wanted; each may take as long as CONNECT
    /// may.
    ///
    /// - Parameters:
    ///   - isTrusted: whether the other end is a trusted proxy.
    ///   - isProxied: whether it begins with a PROXY protocol header.
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
