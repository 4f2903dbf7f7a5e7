import CoAPGateway
import Testing

/// A TLS connection that says exactly what it is told.
final class SecureRawConnection {
    let client: SecureClient
    private let raw: RawConnection
    private var buffer: [UInt8] = []

    /// - Parameter greets: both sides say what they can; else not even a handshake has been begun.
    init(port: Int, _ credentials: SecureClient.Credentials, priorities: String? = nil, greets: Bool = true) throws {
        client = try SecureClient(.connections, credentials, priorities: priorities)
        raw = try RawConnection(port: port, greets: false)
        guard greets else { return }
        try shakeHands()
        try #require(client.isEstablished)
        send(RawMessage(.confirmable, SignalCode.csm, 0).with(2, integer: 8_388_608).frame)
        try #require(try expect().code == SignalCode.csm)
    }

    /// Goes on until the handshake is over, well or not.
    func shakeHands() throws {
        while true {
            client.shakeHands()
            flush()
            guard !client.isEstablished, client.failure == nil else { return }
            guard let bytes = try raw.receive() else { return }
            client.incoming.append(bytes)
        }
    }

    func send(_ bytes: [UInt8]) {
        var left = bytes[...]
        while !left.isEmpty {
            client.send(Array(left.prefix(16_384)))
            left = left.dropFirst(16_384)
        }
        flush()
    }

    /// Sends what waits, byte by byte if wanted.
    func flush(bytewise: Bool = false) {
        for bytes in client.outgoing {
            if bytewise { for byte in bytes { raw.send([byte]) } } else { raw.send(bytes) }
        }
        client.outgoing = []
    }

    /// The next message that is no Ping, or a failure; Pings are answered.
    func expect() throws -> RawMessage {
        while true {
            let message = try #require(try next())
            guard message.code == SignalCode.ping else { return message }
            send(RawMessage(.confirmable, SignalCode.pong, 0, token: message.token).frame)
        }
    }

    /// The next message; nil at the end.
    func next() throws -> RawMessage? {
        while true {
            if let (message, length) = RawMessage.first(in: buffer) {
                buffer.removeFirst(length)
                return message
            }
            if let plaintext = client.receive() {
                buffer += plaintext
                continue
            }
            guard client.failure == nil, let bytes = try raw.receive() else { return nil }
            client.incoming.append(bytes)
        }
    }

    /// Whether nothing more comes.
    func ends() throws -> Bool {
        while try raw.receive() != nil {}
        return true
    }
}
