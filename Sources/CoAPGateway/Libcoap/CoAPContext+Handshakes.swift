import NIOCore

/// A handshake whose client has said which key it uses, and not yet proven that it has it.
struct OpenHandshake {
    let identity: String
    let dueAt: NIODeadline
}

extension CoAPContext {
    /// What proves the key comes with the key's name, unless the network is slow.
    private static let patience = TimeAmount.seconds(1)

    func handshakeBegan(_ endpoint: EndpointID, _ identity: String) {
        let now = NIODeadline.now()
        openHandshakes[endpoint] = OpenHandshake(identity: identity, dueAt: now + Self.patience)
        handshakesDueAt = min(handshakesDueAt, now + Self.patience)
    }

    /// Those whose proof has not come: with a wrong key it is nothing that could be read, so that DTLS drops it without a
    /// word.
    func endOverdueHandshakes(_ now: NIODeadline) {
        guard handshakesDueAt <= now else { return }
        for (endpoint, handshake) in openHandshakes where handshake.dueAt <= now {
            handshakeFailed(endpoint, otherwise: "")
        }
        handshakesDueAt = openHandshakes.values.map(\.dueAt).min() ?? .distantFuture
    }

    /// DTLS has come to a socket where nothing is encrypted.
    func encryptedCame(_ session: OpaquePointer?) {
        guard let session else { return }
        handshakeFailed(EndpointID(session), otherwise: "the client speaks DTLS, which this listener does not")
    }

    /// - Parameter words: what went wrong where no key was named.
    func handshakeFailed(_ endpoint: EndpointID, otherwise words: String) {
        let open = openHandshakes.removeValue(forKey: endpoint)
        let words =
            open == nil
            ? words
            : "the client has not proven that it has our key of that identity: its key is another one, or the network slow"
        events.append(
            .refused(
                HandshakeRefusal(
                    remoteAddress: remoteAddress(of: endpoint),
                    identity: open?.identity ?? identities[endpoint]?.name,
                    words: words
                )
            )
        )
    }
}
