import NIOConcurrencyHelpers
package import NIOCore
import NIOPosix

/// One TCP connection, by hand.
package final class RawClient: Sendable {
    private let channel: any Channel
    private let received: Received

    private init(_ channel: any Channel, _ received: Received) {
        self.channel = channel
        self.received = received
    }

    package static func connect(
        to port: Int,
        on group: any EventLoopGroup,
        reading: Bool = true
    ) async throws -> RawClient {
        let received = Received()
        let channel = try await ClientBootstrap(group: group)
            .channelOption(.autoRead, value: reading)
            .channelOption(.socketOption(.so_rcvbuf), value: reading ? 1_048_576 : 4_096)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Reader(received))
                }
            }
            .connect(host: "127.0.0.1", port: port)
            .get()
        return RawClient(channel, received)
    }

    package func send(_ text: String) async throws { try await send(ByteBuffer(string: text)) }

    package func send(_ bytes: ByteBuffer) async throws { try await channel.writeAndFlush(bytes).get() }

    /// Begins to read, when it was made not to.
    package func startReading() async throws {
        try await channel.setOption(.autoRead, value: true).get()
        channel.read()
    }

    /// Closes the connection, the hard way or not.
    package func close() async throws { try await channel.close().get() }

    /// Ends its half of the connection.
    package func finish() async throws { try await channel.close(mode: .output).get() }

    /// All that has come, once it is as wanted.
    package func bytes(
        within time: TimeAmount = .seconds(30),
        until isEnough: @escaping @Sendable ([UInt8], _ isClosed: Bool) -> Bool
    ) async throws -> [UInt8] {
        let promise = channel.eventLoop.makePromise(of: [UInt8].self)
        received.wait(Received.Wait(isEnough: isEnough, promise: promise))
        let received = received
        let deadline = channel.eventLoop.scheduleTask(in: time) {
            promise.fail(Unexpected("not what was waited for: \(received.text.suffix(2_000))"))
        }
        defer { deadline.cancel() }
        return try await promise.futureResult.get()
    }

    /// All that has come, as text, once it contains something so many times.
    @discardableResult
    package func text(containing part: String, times: Int = 1) async throws -> String {
        let search = Search(for: part)
        let bytes = try await bytes { bytes, _ in search.count(in: bytes) >= times }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// All that has come, as text, once the server has closed.
    package func untilClosed() async throws -> String {
        String(decoding: try await bytes { _, isClosed in isClosed }, as: UTF8.self)
    }

    private final class Reader: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let received: Received

        init(_ received: Received) { self.received = received }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            received.add(unwrapInboundIn(data))
        }

        func channelInactive(context: ChannelHandlerContext) { received.close() }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

/// What a connection has received.
final class Received: Sendable {
    struct Wait: Sendable {
        let isEnough: @Sendable ([UInt8], Bool) -> Bool
        let promise: EventLoopPromise<[UInt8]>
    }

    private struct State {
        var bytes: [UInt8] = []
        var isClosed = false
        var wait: Wait?
    }

    private let state = NIOLockedValueBox(State())

    var text: String { String(decoding: state.withLockedValue { $0.bytes }, as: UTF8.self) }

    func add(_ buffer: ByteBuffer) { change { $0.bytes.append(contentsOf: buffer.readableBytesView) } }

    func close() { change { $0.isClosed = true } }

    func wait(_ wait: Wait) { change { $0.wait = wait } }

    private func change(_ body: (inout State) -> Void) {
        let done = state.withLockedValue { state -> (Wait, [UInt8])? in
            body(&state)
            guard let wait = state.wait, wait.isEnough(state.bytes, state.isClosed) else { return nil }
            state.wait = nil
            return (wait, state.bytes)
        }
        if let (wait, bytes) = done { wait.promise.succeed(bytes) }
    }
}

/// Counts a text in bytes that grow, looking at each of them once.
package final class Search: Sendable {
    private let wanted: [UInt8]
    private let state = NIOLockedValueBox((position: 0, count: 0))

    package init(for text: String) { wanted = Array(text.utf8) }

    package func count(in bytes: [UInt8]) -> Int {
        state.withLockedValue { state in
            bytes.withUnsafeBytes { bytes in
                while state.position + wanted.count <= bytes.count {
                    let isFound =
                        bytes[state.position] == wanted[0]
                        && bytes[state.position..<(state.position + wanted.count)].elementsEqual(wanted)
                    state.count += isFound ? 1 : 0
                    state.position += isFound ? wanted.count : 1
                }
            }
            return state.count
        }
    }
}
