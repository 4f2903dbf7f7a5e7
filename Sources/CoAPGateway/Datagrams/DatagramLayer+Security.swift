import BrokerCore
import CSockets
import CoreRuntime
import NIOCore

// DTLS: what comes is a record, and only what is in it is a message.
extension DatagramLayer {
    /// A datagram has come to a socket that takes nothing in the clear.
    func takeSecure(
        _ bytes: UnsafeRawBufferPointer,
        _ path: UnsafePointer<datagram_path_t>,
        _ address: PeerAddress
    ) {
        let peer = table[address]
        switch ClientHello.judge(bytes) {
        case .useless: return
        case .clear: if peer == nil { refuse(path, HandshakeWords.notSecure) }
        case .hello(let hello):
            guard bytes.count <= Int(datagrams_longest) else { return }
            guard let peer, peer.secure?.began(with: hello, now: now) ?? false else {
                return knock(bytes, hello, path, address)
            }
            feed(bytes, path, to: peer)
        case .other: if let peer { feed(bytes, path, to: peer) }
        }
    }

    private func feed(_ bytes: UnsafeRawBufferPointer, _ path: UnsafePointer<datagram_path_t>, to peer: Peer) {
        guard let session = peer.secure?.session else { return }
        peer.path = path.pointee
        session.take(bytes, now: now) { happened($0, to: peer) }
        if session.isShakingHands { dtls?.handshakes.touch(session) }
    }

    /// A client begins a session: once it has proven its address, and not before (RFC 6347 §4.2.1).
    private func knock(
        _ bytes: UnsafeRawBufferPointer,
        _ hello: ClientHello,
        _ path: UnsafePointer<datagram_path_t>,
        _ address: PeerAddress
    ) {
        guard let context = dtls?.context, let cookies = context.cookies else { return }
        let proof = address.withBytes { client in
            cookies.check(bytes, from: client, now: now) { _ = sendRecord($0, by: path) }
        }
        guard let proof, dtls?.mayBegin(address) ?? false else { return }
        // The device has lost its state (RFC 6347 §4.2.8).
        if let former = table[address] { end(former) }
        let (peer, forgotten) = table.enter(address, path.pointee, isStranger: true, now: now)
        for other in forgotten { left(other) }
        do throws(SecureContext.Failed) {
            let session = try context.makeSession(proof, now: now) { [unowned self, unowned peer] record in
                withUnsafePointer(to: peer.path) { sendRecord(record, by: $0) }
            }
            peer.secure = SecurePeer(session, hello, now: now)
            if let other = dtls?.handshakes.begin(peer.id, session, peer.address.network), let other = table[other] {
                dtls?.refusals.note(.handshakes, remoteAddress(of: other.id), at: now)
                end(other)
            }
            feed(bytes, path, to: peer)
        } catch {
            refused(peer, nil, error.reason)
            end(peer)
        }
    }

    private func happened(_ happening: SecureSession.Happening, to peer: Peer) {
        switch happening {
        case .established(let identity):
            dtls?.handshakes.end(peer.id)
            peer.secure?.identity = identity
            table.prove(peer)
        case .received(let plaintext):
            // As large as in the clear; a client may put more into a record (RFC 6347 §4.1).
            let isWhole = plaintext.count <= Int(datagrams_longest)
            take(IncomingDatagram(plaintext, isWhole: isWhole), plaintext.count, from: peer)
        case .refused(let identity, let words): refused(peer, identity, words)
        case .ended: end(peer)
        }
    }

    private func refused(_ peer: Peer, _ identity: String?, _ words: String) {
        events.append(
            .refused(HandshakeRefusal(remoteAddress: remoteAddress(of: peer.id), identity: identity, words: words))
        )
    }

    /// Ends a peer's session; the peer goes when that has been dealt with.
    func end(_ peer: Peer) {
        guard table.leave(peer) else { return }
        peer.secure?.session.end()
        dtls?.handshakes.end(peer.id)
        transmissions.endAll(of: peer.id)
        events.append(.lost(peer.id))
    }

    /// A handshake's record has come to a socket where nothing is encrypted.
    func tookSecure(_ path: UnsafePointer<datagram_path_t>) { refuse(path, HandshakeWords.notSpoken) }

    /// Tells the log of somebody who is no peer, and gets no answer.
    private func refuse(_ path: UnsafePointer<datagram_path_t>, _ words: String) {
        guard pace.mayReject(now: now) else { return }
        events.append(.refused(HandshakeRefusal(remoteAddress: text(of: path), identity: nil, words: words)))
    }

    /// Handshakes whose messages were lost, or that take too long.
    func goOnWithHandshakes() {
        guard let due = dtls?.handshakes.due(now), !due.isEmpty else { return }
        for (endpoint, session) in due {
            if let peer = table[endpoint] { session.goOn(now: now) { happened($0, to: peer) } }
        }
        dtls?.handshakes.lookAgain()
    }

    /// Sends what is encrypted, or a part of a handshake.
    private func sendRecord(_ bytes: UnsafeRawBufferPointer, by path: UnsafePointer<datagram_path_t>) -> Bool {
        guard bytes.count <= Int(datagrams_longest), let room = datagrams_room(datagrams) else { return false }
        UnsafeMutableRawBufferPointer(start: room, count: bytes.count).copyMemory(from: bytes)
        datagrams_add(datagrams, bytes.count, path)
        return true
    }

    func endOutdatedSessions() -> [LayerEvent] {
        guard let context = dtls?.context else { return [] }
        // It was tried when its files were read.
        try? context.renewCredentials()
        for peer in table.peers {
            if let identity = peer.secure?.identity, context.isOutdated(identity) { end(peer) }
        }
        return takeEvents()
    }
}
