package import BrokerCore
package import NIOCore
import Proxies

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
    /// - Parameter remoteAddress: the client, when it is not the other end of the channel.
    package func configure(
        _ channel: any Channel,
        transportProtocol: VirtualConnection.TransportProtocol,
        remoteAddress: String? = nil
    ) throws {
        let handler = MQTTChannelHandler(
            core: core,
            bridge: bridges[ObjectIdentifier(channel.eventLoop)],
            transportProtocol: transportProtocol,
            remoteAddress: remoteAddress,
            limits: limits
        )
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    /// The same for a connection from a proxy, once its PROXY protocol header has said who the client is; it may take as
    /// long as CONNECT may.
    package func configureBehindProxy(
        _ channel: any Channel,
        transportProtocol: VirtualConnection.TransportProtocol
    ) throws {
        let reader = ProxyHeaderReader(timeout: .seconds(Int64(limits.connectTimeout))) { header in
            try self.configure(
                channel,
                transportProtocol: transportProtocol,
                remoteAddress: header.client.map { "\($0)" }
            )
        }
        try channel.pipeline.syncOperations.addHandler(reader)
    }
}
