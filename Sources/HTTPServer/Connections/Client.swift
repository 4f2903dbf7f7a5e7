import BrokerCore
import CoreRuntime
import NIOCore
import NetworkListeners

/// The client of one HTTP connection.
struct Client: Sendable {
    let channel: any Channel
    let presence: ClientPresence
    let trustedProxies: TrustedProxies
    /// What its connection shares with others of its event loop.
    let loop: GatewayLoop

    /// Where it is.
    ///
    /// - Parameter forwarded: the values of X-Forwarded-For, believed if trusted proxies have written them.
    func address(forwarded: [String]) -> ClientAddress {
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
