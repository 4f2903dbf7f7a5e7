package import BrokerCore
package import CoreRuntime
package import NIOCore

/// Places of connections that are channels.
extension SocketPlaces {
    /// Takes a place for a connection that was accepted, until it closes.
    ///
    /// - Parameter peer: its other end.
    /// - Returns: false when its network has its share: it is to be closed.
    func take(_ channel: any Channel, _ peer: ClientAddress) -> Bool {
        let key = ObjectIdentifier(channel)
        guard take(key, peer) else { return false }
        channel.closeFuture.whenComplete { _ in self.leave(key) }
        return true
    }

    /// A trusted proxy has said for whom a connection is.
    ///
    /// - Returns: false when the client's network has its share: the connection is to be closed.
    package func assign(_ channel: any Channel, to client: ClientAddress) -> Bool {
        assign(ObjectIdentifier(channel), to: client)
    }
}
