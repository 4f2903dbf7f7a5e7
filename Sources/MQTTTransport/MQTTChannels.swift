package import BrokerCore
package import NIOCore
import Proxies
package import TransportSecurity

/// Puts the MQTT handler onto channels, whatever byte filters stand below it, and knows how many are open.
package final class MQTTChannels: Sendable {
    private let core: CoreLoop
    private let limits: Limits
    private let bridges: [ObjectIdentifier: LoopBridge]

    /// Makes the bridges between the core loop and each other loop of the group.
    package init(core: CoreLoop, eventLoopGroup: any EventLoopGroup, limits: Limits) {
        self.core = core
        self.limits = limits
        var bridges: [ObjectIdentifier: LoopBridge] = [:]
        for loop in eventLoopGroup.makeIterator() where loop !== core.eventLoop {
            bridges[ObjectIdentifier(loop)] = LoopBridge(loop: loop, core: core)
        }
        self.bridges = bridges
    }

    /// Adds the MQTT handler at the end of a channel's pipeline; on the channel's event loop.
    ///
    /// - Parameters:
    ///   - remoteAddress: the client, when it is not the other end of the channel.
    ///   - transportIdentity: the user name that a certificate has given it.
    package func configure(
        _ channel: any Channel,
        transportProtocol: VirtualConnection.TransportProtocol,
        remoteAddress: String? = nil,
        transportIdentity: String? = nil
    ) throws {
        let handler = MQTTChannelHandler(
            core: core,
            bridge: bridges[ObjectIdentifier(channel.eventLoop)],
            transportProtocol: transportProtocol,
            remoteAddress: remoteAddress,
            transportIdentity: transportIdentity,
            limits: limits
        )
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    /// Makes an MQTT connection of one that was just accepted; on the channel's event loop.
    ///
    /// First a proxy says who the client is, then TLS is agreed on, if either is wanted; each may take as long as CONNECT
    /// may.
    package func accept(_ channel: any Channel, isProxied: Bool, tls: TLSServer?) throws {
        guard isProxied else { return try secure(channel, tls, remoteAddress: nil) }
        let reader = ProxyHeaderReader(timeout: timeout) { header in
            try self.secure(channel, tls, remoteAddress: header.client.map { "\($0)" })
        }
        try channel.pipeline.syncOperations.addHandler(reader)
    }

    private func secure(_ channel: any Channel, _ tls: TLSServer?, remoteAddress: String?) throws {
        guard let tls else {
            return try configure(channel, transportProtocol: .mqtt, remoteAddress: remoteAddress)
        }
        try tls.secure(channel, timeout: timeout, remoteAddress: remoteAddress) { identity in
            try self.configure(
                channel,
                transportProtocol: .mqtt,
                remoteAddress: remoteAddress,
                transportIdentity: identity
            )
        }
    }

    private var timeout: TimeAmount { .seconds(Int64(limits.connectTimeout)) }
}
