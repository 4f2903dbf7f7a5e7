import FoundationEssentials
import HTTPTestSupport
import NIOCore

/// A page's end of `sluice.json`, by hand.
struct JSONClient: Sendable {
    let socket: WebSocketClient

    /// Opens one, and connects unless told not to.
    static func open(_ server: TestServer, connect: String? = #"{"op":"connect"}"#) async throws -> JSONClient {
        let client = JSONClient(socket: try await WebSocketClient.open(server, "sluice.json"))
        guard let connect else { return client }
        try await client.send(connect)
        _ = try await client.answers(1)
        return client
    }

    func send(_ text: String) async throws { try await socket.send(1, Array(text.utf8)) }

    /// The texts that have come, once there are so many.
    func answers(_ count: Int) async throws -> [String] {
        try await socket.frames(count).filter { $0.opcode == 1 }.map { String(decoding: $0.payload, as: UTF8.self) }
    }

    /// All texts until the server closes, and the code it closes with.
    func untilClosed() async throws -> (answers: [String], code: Int?) {
        let frames = try await socket.frames(.max)
        let close = frames.first { $0.opcode == 8 }
        return (
            frames.filter { $0.opcode == 1 }.map { String(decoding: $0.payload, as: UTF8.self) },
            close.map { $0.payload.prefix(2).reduce(0) { $0 << 8 | Int($1) } }
        )
    }
}
