import CoAPGateway
import NIOCore
import Testing

/// A device that speaks DTLS over a socket of its own.
final class SecureRawClient {
    let socket: RawClient
    private(set) var session: SecureClient
    private let credentials: SecureClient.Credentials

    init(port: Int, _ credentials: SecureClient.Credentials = .key("lamp", "sesame")) throws {
        self.credentials = credentials
        socket = try RawClient(port: port)
        session = try SecureClient(.datagrams, credentials, retransmission: 1_000)
    }

    /// The device loses all it knew but its address.
    func reboot(_ credentials: SecureClient.Credentials? = nil) throws {
        session = try SecureClient(.datagrams, credentials ?? self.credentials, retransmission: 1_000)
    }

    /// Sends what the session wants to be sent.
    func flush() {
        for bytes in session.outgoing { socket.send(bytes) }
        session.outgoing = []
    }

    /// Shakes hands until it is done, has failed, or as many answers as that have come; fails after 20 seconds.
    func shakeHands(answers: Int = .max) throws {
        let deadline = NIODeadline.now() + .seconds(20)
        var answers = answers
        while true {
            session.shakeHands()
            flush()
            guard !session.isEstablished, session.failure == nil, answers > 0 else { return }
            try #require(NIODeadline.now() < deadline)
            guard let bytes = socket.receiveBytes(within: 500) else { continue }
            answers -= 1
            session.incoming.append(bytes)
        }
    }

    func send(_ message: RawMessage) {
        session.send(message.bytes)
        flush()
    }

    /// The next message; nil when none has come in time.
    func receive(within milliseconds: Int32 = 5_000) -> RawMessage? {
        while true {
            if let plaintext = session.receive() { return RawMessage(plaintext) }
            guard session.failure == nil, let bytes = socket.receiveBytes(within: milliseconds) else { return nil }
            session.incoming.append(bytes)
        }
    }

    func ask(_ message: RawMessage) throws -> RawMessage {
        send(message)
        return try #require(receive())
    }
}
