import CSockets

extension DatagramLayer {
    var isReliable: Bool { false }

    func remoteAddress(of endpoint: EndpointID) -> String {
        guard let peer = table[endpoint] else { return "" }
        return withUnsafePointer(to: peer.path) { text(of: $0) }
    }

    func text(of path: UnsafePointer<datagram_path_t>) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 80) { text in
            let length = withUnsafePointer(to: path.pointee.peer) { sockets_text($0, text.baseAddress, text.count) }
            return String(decoding: UnsafeRawBufferPointer(text).prefix(Int(max(length, 0))), as: UTF8.self)
        }
    }

    func identity(of endpoint: EndpointID) -> String? { table[endpoint]?.secure?.identity?.name }

    func largestMessage(to endpoint: EndpointID) -> Int { CoAPResponse.largestMessage }

    func allowance(to endpoint: EndpointID) -> Int? {
        guard let peer = table[endpoint], !peer.isProven else { return nil }
        // There is always enough left to ask for a sign of life.
        return max(peer.credit - Self.emptyLength, 0)
    }

    func echo(for endpoint: EndpointID) -> [UInt8] {
        table[endpoint].map { echo.value(for: $0.address, now: now) } ?? []
    }

    func acknowledge(_ messageID: UInt16, token: Token, response: CoAPResponse?, to endpoint: EndpointID) {
        guard let peer = table[endpoint] else { return }
        guard let response else { return _ = sendEmpty(.acknowledgement, messageID, to: peer) }
        _ = try? send(.acknowledgement, response, token, messageID: messageID, to: peer)
    }

    func sendNonConfirmable(_ response: CoAPResponse, token: Token, to endpoint: EndpointID) -> UInt16? {
        guard let peer = table[endpoint] else { return nil }
        let messageID = peer.newMessageID()
        return (try? send(.nonConfirmable, response, token, messageID: messageID, to: peer)).map { _ in messageID }
    }

    func sendConfirmable(
        _ response: CoAPResponse,
        token: Token,
        to endpoint: EndpointID
    ) throws(SendFailure) -> ConfirmableID {
        guard let peer = table[endpoint] else { throw .unreachable }
        let messageID = peer.newMessageID()
        let sent = try send(.confirmable, response, token, messageID: messageID, to: peer)
        return transmissions.begin([UInt8](sent), messageID: messageID, token: token, to: endpoint, now: now)
    }

    func ping(_ endpoint: EndpointID) throws(SendFailure) -> ConfirmableID {
        guard let peer = table[endpoint] else { throw .unreachable }
        let messageID = peer.newMessageID()
        guard let sent = sendEmpty(.confirmable, messageID, to: peer) else {
            throw peer.isProven || peer.credit >= Self.emptyLength ? .busy : .unproven
        }
        return transmissions.begin(sent, messageID: messageID, token: Token([]), isPing: true, to: endpoint, now: now)
    }

    func hold(_ endpoint: EndpointID) { if let peer = table[endpoint] { table.hold(peer) } }

    func release(_ endpoint: EndpointID) { if let peer = table[endpoint] { table.release(peer) } }

    func disconnect(_ endpoint: EndpointID) {
        if let peer = table[endpoint], peer.secure != nil { end(peer) }
    }

    // MARK: Bytes

    /// Bytes of an empty message.
    private static var emptyLength: Int { 4 }

    /// Sends a message without a request or response.
    ///
    /// - Returns: its bytes; nil when it was not sent.
    func sendEmpty(_ kind: WireMessage.Kind, _ messageID: UInt16, to peer: Peer) -> [UInt8]? {
        let bytes = [
            1 << 6 | kind.rawValue << 4, 0, UInt8(truncatingIfNeeded: messageID >> 8),
            UInt8(truncatingIfNeeded: messageID),
        ]
        return bytes.withUnsafeBytes { send($0, to: peer) } ? bytes : nil
    }

    /// Sends what is a message already.
    func send(_ bytes: UnsafeRawBufferPointer, to peer: Peer) -> Bool {
        if let secure = peer.secure { return secure.session.send(bytes) }
        guard let room = datagrams_room(datagrams), peer.spend(bytes.count) else { return false }
        UnsafeMutableRawBufferPointer(start: room, count: bytes.count).copyMemory(from: bytes)
        datagrams_add(datagrams, bytes.count, &peer.path)
        return true
    }

    /// Makes a message where it leaves from, and sends it.
    ///
    /// - Returns: its bytes, until the next one is made.
    func send(
        _ kind: WireMessage.Kind,
        _ response: CoAPResponse,
        _ token: Token,
        messageID: UInt16,
        to peer: Peer
    ) throws(SendFailure) -> UnsafeRawBufferPointer {
        if let secure = peer.secure, let room = dtls?.plaintext {
            guard let length = write(kind, response, token, messageID, into: room) else { throw .impossible }
            let message = UnsafeRawBufferPointer(rebasing: room[..<length])
            guard secure.session.send(message) else { throw .busy }
            return message
        }
        guard let start = datagrams_room(datagrams) else { throw .busy }
        let room = UnsafeMutableRawBufferPointer(start: start, count: CoAPResponse.largestMessage)
        guard let length = write(kind, response, token, messageID, into: room) else { throw .impossible }
        guard peer.spend(length) else { throw .unproven }
        datagrams_add(datagrams, length, &peer.path)
        return UnsafeRawBufferPointer(rebasing: room[..<length])
    }

    func write(
        _ kind: WireMessage.Kind,
        _ response: CoAPResponse,
        _ token: Token,
        _ messageID: UInt16,
        into room: UnsafeMutableRawBufferPointer
    ) -> Int? {
        writer.removeAll()
        response.write(to: &writer)
        return response.withPayload {
            WireMessage.write(kind, response.code, messageID: messageID, token, writer, payload: $0, into: room)
        }
    }
}
