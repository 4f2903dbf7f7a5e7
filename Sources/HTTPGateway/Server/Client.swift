import NIOCore
import Proxies

/// The client of one HTTP connection.
struct Client: Sendable {
    let channel: any Channel
    let presence: ClientPresence
    let trustedProxies: TrustedProxies
    /// What its connection shares with others of its event loop.
    let loop: GatewayLoop

    /// Its address, and port if that is known, as text.
    ///
    /// - Parameter forwarded: the values of X-Forwarded-For, believed if trusted proxies have written them.
    func remoteAddress(forwarded: [String]) -> String {
        let proxied = presence.proxiedClient
        guard let peer = proxied?.address ?? channel.remoteAddress.flatMap(IPAddress.init) else { return "" }
        if !forwarded.isEmpty, let client = trustedProxies.client(behind: peer, forwarded) { return "\(client)" }
        let port = proxied?.port ?? channel.remoteAddress?.port ?? 0
        return "\(ProxyHeader.Client(address: peer, port: port))"
    }
}
