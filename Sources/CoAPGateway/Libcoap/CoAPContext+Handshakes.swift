import NIOCore

/// A handshake of DTLS or TLS that came to nothing.
struct HandshakeRefusal {
    let remoteAddress: String
    /// The name of a pre-shared key; nil without one.
    let identity: String?
    let words: String
}

/// A handshake whose client has said which key it uses, and not yet proven that it has it.
struct OpenHandshake {
    let identity: String
    let begunAt: NIODeadline
}

extension CoAPContext {
    /// What proves the key comes with the key's name: so long after it, nobody has the key.
    private static let patience = TimeAmount.seconds(2)

    var hasOpenHandshakes: Bool { !openHandshakes.isEmpty }

    /// Tells of those whose proof has not come: with a wrong key it is nothing that could be read, so that DTLS drops it
    /// without a word.
    func refuseOverdueHandshakes() {
        guard !openHandshakes.isEmpty else { return }
        let now = NIODeadline.now()
        for (endpoint, handshake) in openHandshakes where handshake.begunAt + Self.patience <= now {
            handshakeFailed(endpoint, otherwise: "")
        }
    }

    /// - Parameter words: what went wrong where no key was named.
    func handshakeFailed(_ endpoint: EndpointID, otherwise words: String) {
        let open = openHandshakes.removeValue(forKey: endpoint)
        let words = open == nil ? words : "the client's key is another one than ours of that identity, or it has left"
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
