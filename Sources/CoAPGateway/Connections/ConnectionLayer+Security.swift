import BrokerCore
import CoreRuntime
import NIOCore

// TLS stands between a connection's bytes and the network's (RFC 8323 §8.2).
extension ConnectionLayer {
    static func secure(
        _ configuration: CoAPListener.Configuration,
        _ limits: Limits
    ) -> Result<SecureContext?, SecureContext.Failed> {
        guard let security = configuration.security else { return .success(nil) }
        var times = SecureContext.Times()
        times.handshake = .seconds(Int64(limits.connectTimeout))
        do throws(SecureContext.Failed) {
            return .success(try SecureContext(security, .connections, times: times, now: .now()))
        } catch {
            return .failure(error)
        }
    }

    /// Begins a connection's TLS; of too many handshakes the oldest gives way.
    ///
    /// - Returns: whether there is memory for it.
    func encrypt(_ link: Link, _ secure: SecureContext) -> Bool {
        let session = try? secure.makeSession(nil, now: now) { [unowned link] bytes in
            link.keep(bytes)
            return true
        }
        guard let session else { return false }
        link.security.session = session
        link.security.isEstablished = false
        if let former = tls.handshakes.begin(link.connection.id, session, link.address.network),
            let link = table.links[former]
        {
            shared.refusals.note(.handshakes, "\(link.address)")
            link.connection.broke(now: now)
            list(link)
        }
        return true
    }

    /// Something has come.
    func took(_ bytes: UnsafeRawBufferPointer, of link: Link) {
        guard let session = link.security.session else { return link.connection.append(bytes) }
        session.take(bytes, now: now) { happened($0, to: link) }
        if !link.security.isEstablished { tls.handshakes.touch(session) }
    }

    /// Goes on with handshakes that have had their time.
    func goOnWithHandshakes() {
        let due = tls.handshakes.due(now)
        guard !due.isEmpty else { return }
        for (endpoint, session) in due {
            guard let link = table.links[endpoint] else { continue }
            session.goOn(now: now) { happened($0, to: link) }
            attend(link)
        }
        tls.handshakes.lookAgain()
    }

    private func happened(_ happening: SecureSession.Happening, to link: Link) {
        switch happening {
        case .established(let identity):
            link.security.identity = identity
            link.security.isEstablished = true
            tls.handshakes.end(link.connection.id)
        case .received(let plaintext): link.connection.append(plaintext)
        case .refused(let identity, let words): refuse(link, identity, words)
        case .ended: link.security.isMute = true
        }
    }

    /// Has it told that somebody did not get in.
    func refuse(_ link: Link, _ identity: String?, _ words: String) {
        let address = link.address.description
        events.append(.refused(HandshakeRefusal(remoteAddress: address, identity: identity, words: words)))
    }

    func endOutdatedSessions() -> [LayerEvent] {
        guard let secure = tls.context else { return [] }
        // It was looked at when it was read: what is wrong with it would have been told.
        try? secure.renewCredentials()
        for link in table.links.values where !link.isClosed {
            guard let identity = link.security.identity, secure.isOutdated(identity) else { continue }
            link.connection.abort("the key is another one now", now: now)
            attend(link)
        }
        return takeEvents()
    }
}
