import CSockets
import NIOCore

// Messages from peers that are not remembered: only a request changes that, and what it costs is bounded.
extension DatagramLayer {
    /// A message has come from somebody who is not remembered: only a request changes that.
    func takeFromStranger(
        _ message: IncomingDatagram,
        _ length: Int,
        _ path: UnsafePointer<datagram_path_t>,
        _ address: PeerAddress
    ) {
        switch message {
        case .request(let request):
            var isProven = false
            if let value = request.echo { isProven = echo.proves(value, address, now: now) }
            guard isProven || pace.hasRoom else { return }
            pace.enter()
            if echo.isRequired, !isProven { return challenge(request, length, path, address) }
            let (peer, forgotten) = table.enter(address, path.pointee, isProven: isProven, now: now)
            for other in forgotten { left(other) }
            peer.received(length, now: now)
            received(request, from: peer)
            // It is to stay: where there are many of whom nobody knows whether they are there, each one is asked.
            if request.observe == 0, table.isFullOfStrangers, !isProven { ask(peer) }
        case .rejected(let messageID):
            guard pace.mayReject(now: now) else { return }
            reply(.reset, CoAPResponse(.empty), Token([]), messageID, path)
        case .tooLarge(let isConfirmable, let messageID, let token):
            guard pace.mayReject(now: now) else { return }
            reply(isConfirmable ? .acknowledgement : .nonConfirmable, .tooLarge, token, messageID, path)
        case .acknowledgement, .reset, .ignored: break
        }
    }

    /// Asks a peer for a sign that it is there, by a ping: its Reset proves its address.
    func ask(_ peer: Peer) {
        peer.isAsked = true
        _ = try? ping(peer.id)
    }

    /// Asks a stranger for an Echo; nothing is remembered of it (RFC 9175 §2.3).
    private func challenge(
        _ request: CoAPRequest,
        _ length: Int,
        _ path: UnsafePointer<datagram_path_t>,
        _ address: PeerAddress
    ) {
        var response = CoAPResponse(.unauthorized)
        response.echo = echo.value(for: address, now: now)
        guard response.encodedLength + Int(request.token.length) <= Peer.amplification * length else { return }
        reply(
            request.isConfirmable ? .acknowledgement : .nonConfirmable,
            response,
            request.token,
            request.messageID,
            path
        )
    }

    /// Answers who is not remembered.
    func reply(
        _ kind: WireMessage.Kind,
        _ response: CoAPResponse,
        _ token: Token,
        _ messageID: UInt16,
        _ path: UnsafePointer<datagram_path_t>
    ) {
        guard let start = datagrams_room(datagrams) else { return }
        let room = UnsafeMutableRawBufferPointer(start: start, count: CoAPResponse.largestMessage)
        let own = kind == .nonConfirmable ? UInt16.random(in: .min ... .max) : messageID
        if let length = write(kind, response, token, own, into: room) { datagrams_add(datagrams, length, path) }
    }
}

extension CoAPResponse {
    /// What does not fit a datagram goes in blocks (RFC 7959 §2.9.3).
    static var tooLarge: CoAPResponse {
        var response = CoAPResponse(.requestEntityTooLarge)
        response.block1 = Block(number: 0, more: false, sizeExponent: Block.largestExponent)
        return response
    }
}
