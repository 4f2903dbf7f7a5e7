import BrokerCore
import CSockets
import CoreRuntime
import NIOCore

/// CoAP's message layer over datagrams (RFC 7252 §4): one socket, any number of peers.
///
/// Confined to the thread that serves it, once that has begun.
final class DatagramLayer: ServedLayer {
    /// Bytes of the socket's buffers: a burst of some thousand datagrams.
    private static let socketBuffer: Int32 = 4_194_304
    /// Datagrams taken in in one turn: what waits in the socket, more or less, so that nobody is kept waiting there.
    private static let mostInTurn = 4_096
    /// Bytes of all peers that were heard once, and bytes of each, its connection to the broker included: of one that nobody
    /// holds, and of one that observes.
    private static let strangerBytes = 67_108_864
    private static let (bytesOfStranger, bytesOfHeldStranger) = (4_096, 6_144)

    // Of what each datagram looks at, no access lasts while another one begins.
    let datagrams: OpaquePointer
    let port: Int
    let wakeUp: WakeUp
    /// Nil where nothing is encrypted.
    private(set) var dtls: DatagramSecurity?
    @exclusivity(unchecked) var table: PeerTable
    @exclusivity(unchecked) var transmissions: Transmissions
    let echo: EchoGuard
    @exclusivity(unchecked) var now = NIODeadline.now()
    @exclusivity(unchecked) var writer = OptionWriter()
    @exclusivity(unchecked) var pace = StrangerPace()
    @exclusivity(unchecked) var events: [LayerEvent] = []
    private var idle: (timeout: TimeAmount, dueAt: NIODeadline)

    /// Binds.
    ///
    /// - Throws: when the address can't be had.
    init(_ configuration: CoAPListener.Configuration, _ refusals: Refusals) throws(ListenFailed) {
        let failure = configuration.listenFailed
        guard var port = UInt16(exactly: configuration.port) else { throw failure("no such port") }
        guard let wakeUp = WakeUp() else { throw failure("too many open files") }
        var opened: OpaquePointer?
        let longest = configuration.security == nil ? Int(datagrams_longest) : DatagramRecord.longest
        let result = datagrams_open(configuration.host, &port, Self.socketBuffer, longest, &opened)
        guard result == 0, let opened else { throw failure(bindingWords(result: result)) }
        datagrams = opened
        self.port = Int(port)
        self.wakeUp = wakeUp
        table = PeerTable(
            PeerTable.Bounds(
                idle: max(configuration.idleEndpoints, 1),
                strangers: max(min(configuration.idleEndpoints / 2, Self.strangerBytes / Self.bytesOfStranger), 1),
                heldStrangers: Self.strangerBytes / Self.bytesOfHeldStranger
            )
        )
        transmissions = Transmissions(
            Transmissions.Parameters(
                acknowledgeTimeout: .milliseconds(Int64(max(configuration.acknowledgeTimeout, 1))),
                maximumRetransmissions: max(configuration.maximumRetransmissions, 1)
            )
        )
        idle = (.seconds(Int64(configuration.idleTimeout)), .distantPast)
        // A handshake proves it.
        echo = EchoGuard(isRequired: configuration.asksForEcho && configuration.security == nil)
        if let security = configuration.security {
            do throws(SecureContext.Failed) {
                dtls = try DatagramSecurity(
                    security,
                    handshakes: configuration.handshakes,
                    refusals: refusals,
                    now: now
                )
            } catch {
                datagrams_close(opened)
                throw failure(error.reason)
            }
        }
    }

    var security: CoAPSecurity? { dtls?.security }

    // MARK: The thread's turn

    func enter() { now = .now() }

    /// There are no connections: who asks is told by the server.
    func stopAccepting() {}

    func turn(timeout: Int?) -> [LayerEvent] {
        // What the system can't take now it takes soon, and does not say when.
        let timeout = datagrams_flush(datagrams) ? timeout.map { Int32(clamping: $0) } ?? -1 : 1
        let ready = datagrams_wait(datagrams, wakeUp.descriptor, timeout)
        if ready & Int32(datagrams_woken) != 0 { wakeUp.clear() }
        now = .now()
        dtls?.beganTurn()
        if ready & Int32(datagrams_readable) != 0 { receive() }
        return takeEvents()
    }

    private func receive() {
        var count = 0
        while count < Self.mostInTurn {
            let read = Int(datagrams_read(datagrams))
            count += read
            pace.saw(count, isAll: read < Int(datagrams_batch), now: now)
            for place in 0..<read { take(datagrams_at(datagrams, Int32(place))) }
            guard read == Int(datagrams_batch) else { return }
        }
    }

    var nextDeadline: NIODeadline? {
        let idleDueAt = table.count > 0 ? idle.dueAt : nil
        return [idleDueAt, transmissions.nextDeadline, dtls?.handshakes.dueAt].compactMap { $0 }.min()
    }

    func maintain(now: NIODeadline) -> [LayerEvent] {
        self.now = now
        while let due = transmissions.next(now: now) {
            switch due {
            case .again(let transmission): if let peer = table[transmission.peer] { sendAgain(transmission, to: peer) }
            case .failed(let transmission): events.append(.failed(transmission.id, .unreachable))
            }
        }
        goOnWithHandshakes()
        if idle.dueAt <= now {
            idle.dueAt = now + .seconds(1)
            while let peer = table.popIdle(heardBefore: now - idle.timeout) { left(peer) }
        }
        return takeEvents()
    }

    private func sendAgain(_ transmission: Transmissions.Transmission, to peer: Peer) {
        let isSent = transmission.bytes.withUnsafeBytes { send($0, to: peer) }
        // What an address may not get twice before it is proven can wait for a sign of life.
        if !isSent, !peer.isProven, !transmission.isPing { _ = try? ping(peer.id) }
    }

    func done(_ event: LayerEvent) {
        switch event {
        case .received(_, let endpoint): release(endpoint)
        case .lost(let endpoint): if let peer = table[endpoint] { table.remove(peer) }
        default: break
        }
    }

    func takeEvents() -> [LayerEvent] {
        guard !events.isEmpty else { return [] }
        let taken = events
        events = []
        // The next turn will be like this one.
        events.reserveCapacity(min(taken.count, 256))
        return taken
    }

    func close() {
        for peer in table.peers { peer.secure?.session.end() }
        _ = datagrams_flush(datagrams)
        datagrams_close(datagrams)
        table.removeAll()
    }

    // MARK: Receiving

    private func take(_ datagram: datagram_t) {
        guard datagram.is_for_us, let path = datagram.path else { return }
        let bytes = UnsafeRawBufferPointer(start: datagram.bytes, count: datagram.length)
        let address = PeerAddress(path.pointee)
        guard dtls == nil else { return takeSecure(bytes, path, address) }
        guard let peer = table[address] else {
            if bytes.count > 1, bytes[0] == 22, bytes[1] == 0xfe { return tookSecure(path) }
            // With `coap.echo` it may show one, and then it is let in.
            guard pace.hasRoom || echo.isRequired else { return }
            return takeFromStranger(IncomingDatagram(bytes, isWhole: datagram.is_whole), bytes.count, path, address)
        }
        peer.path = path.pointee
        take(IncomingDatagram(bytes, isWhole: datagram.is_whole), bytes.count, from: peer)
    }

    /// A message has come from a peer that is remembered.
    func take(_ message: IncomingDatagram, _ length: Int, from peer: Peer) {
        peer.received(length, now: now)
        switch message {
        case .request(let request):
            if !peer.isProven, let value = request.echo, echo.proves(value, peer.address, now: now) {
                table.prove(peer)
            }
            if !peer.isKnown { table.heard(peer) }
            if !peer.isProven, !peer.isAsked, table.isCrowded(now: now) { ask(peer) }
            received(request, from: peer)
        case .acknowledgement(let messageID):
            guard let transmission = transmissions.end(messageID, of: peer.id) else { return peer.guessed() }
            if peer.isCredible { table.prove(peer) }
            events.append(.finished(transmission.id))
        case .reset(let messageID): reset(messageID, by: peer)
        case .rejected(let messageID): _ = sendEmpty(.reset, messageID, to: peer)
        case .tooLarge(let isConfirmable, let messageID, let token):
            let kind: WireMessage.Kind = isConfirmable ? .acknowledgement : .nonConfirmable
            _ = try? send(
                kind,
                .tooLarge,
                token,
                messageID: isConfirmable ? messageID : peer.newMessageID(),
                to: peer
            )
        case .ignored: break
        }
    }

    func received(_ request: CoAPRequest, from peer: Peer) {
        // Until `done`: the peer is not to go before that.
        table.hold(peer)
        events.append(.received(request, peer.id))
    }

    private func reset(_ messageID: UInt16, by peer: Peer) {
        guard let transmission = transmissions.end(messageID, of: peer.id) else {
            peer.guessed()
            return events.append(.reset(messageID, peer.id))
        }
        if peer.isCredible { table.prove(peer) }
        guard !transmission.isPing else { return events.append(.finished(transmission.id)) }
        events.append(.failed(transmission.id, .reset))
        // The observation is over (RFC 7641 §3.6): nothing of it is sent again.
        for other in transmissions.end(transmission.token, of: peer.id) {
            events.append(.failed(other.id, .forgotten))
        }
    }

    /// A peer is remembered no more.
    func left(_ peer: Peer) {
        peer.secure?.session.end()
        dtls?.handshakes.end(peer.id)
        transmissions.endAll(of: peer.id)
        events.append(.gone(peer.id))
    }
}
