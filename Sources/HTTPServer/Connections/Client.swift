package import BrokerCore
import CoreRuntime
package import NIOCore
import NetworkListeners

/// The client of one HTTP connection.
package struct Client: Sendable {
    package let channel: any Channel
    package let presence: ClientPresence
    let trustedProxies: TrustedProxies
    /// Runs the tasks of its requests on the channel's event loop.
    let executor: EventLoopExecutor

    /// Where it is.
    ///
    /// - Parameter forwarded: the values of X-Forwarded-For, believed if trusted proxies have written them.
    package func address(forwarded: [String]) -> ClientAddress {
        let proxied = presence.proxiedClient
        guard let peer = proxied?.address ?? channel.remoteAddress.flatMap(IPAddress.init) else {
            return ClientAddress(nil)
        }
        if !forwarded.isEmpty, let client = trustedProxies.client(behind: peer, forwarded) {
            return ClientAddress("\(client)", network: ClientNetwork(bytes: client.bytes))
        }
        let port = proxied?.port ?? channel.remoteAddress?.port ?? 0
        return ClientAddress(
            "\(ProxyHeader.Client(address: peer, port: port))",
            network: ClientNetwork(bytes: peer.bytes),
            isProxy: trustedProxies.contains(peer)
        )
    }
}
