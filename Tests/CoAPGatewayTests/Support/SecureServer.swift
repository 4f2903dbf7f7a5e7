import CoAPGateway
import NIOCore

/// A listener's end of DTLS or TLS for one peer, without a socket.
final class SecureServer {
    let context: SecureContext
    private let transport: SecureTransport
    private let address: [UInt8]
    private(set) var session: SecureSession?
    var now: NIODeadline

    /// What goes to the client.
    var outgoing: [[UInt8]] = []
    /// Who the client has proven to be; nil before the handshake is over.
    private(set) var established: TransportIdentity??
    private(set) var received: [[UInt8]] = []
    private(set) var refusals: [(identity: String?, words: String)] = []
    private(set) var isOver = false

    init(
        _ security: CoAPSecurity,
        _ transport: SecureTransport,
        address: [UInt8] = [127, 0, 0, 1, 22, 51],
        now: NIODeadline = .now()
    ) throws {
        var times = SecureContext.Times()
        times.retransmission = .milliseconds(20)
        context = try SecureContext(security, transport, times: times, now: now)
        self.transport = transport
        self.address = address
        self.now = now
        if transport == .connections { session = try makeSession(nil) }
    }

    private func makeSession(_ proof: HelloCookies.Proof?) throws -> SecureSession {
        try context.makeSession(proof, now: now) { [unowned self] record in
            outgoing.append([UInt8](record))
            return true
        }
    }

    /// As a listener would.
    func take(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { bytes in
            if transport == .datagrams, session == nil {
                guard case .hello = ClientHello.judge(bytes), let cookies = context.cookies else { return }
                let proof = address.withUnsafeBytes { address in
                    cookies.check(bytes, from: address, now: now) { outgoing.append([UInt8]($0)) }
                }
                guard let proof else { return }
                session = try makeSession(proof)
            }
            session?.take(bytes, now: now, happened)
        }
    }

    func goOn() { session?.goOn(now: now, happened) }

    /// From the next ClientHello on there is another session.
    func forget() { session = nil }

    func forgetReceived() { received = [] }

    private func happened(_ happening: SecureSession.Happening) {
        switch happening {
        case .established(let identity): established = .some(identity)
        case .received(let plaintext): received.append([UInt8](plaintext))
        case .refused(let identity, let words): refusals.append((identity, words))
        case .ended: isOver = true
        }
    }

    /// Sends to the client.
    @discardableResult
    func send(_ plaintext: [UInt8]) -> Bool { plaintext.withUnsafeBytes { session?.send($0) ?? false } }
}

/// Carries what goes between the two until nothing goes any more.
///
/// - Parameter network: what becomes of a datagram, or of bytes: none, one or several of them.
func carry(
    _ client: SecureClient,
    _ server: SecureServer,
    _ network: (_ fromClient: Bool, [UInt8]) -> [[UInt8]] = { [$1] }
) throws {
    client.shakeHands()
    while !client.outgoing.isEmpty || !server.outgoing.isEmpty {
        let toServer = client.outgoing
        client.outgoing = []
        for bytes in toServer { for part in network(true, bytes) { try server.take(part) } }
        let toClient = server.outgoing
        server.outgoing = []
        for bytes in toClient { client.incoming.append(contentsOf: network(false, bytes)) }
        client.shakeHands()
    }
}
