import BrokerCore
import CoreRuntime
import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import NIOSSL
import NIOTLS
import NetworkListeners

/// A listener's end of a TLS connection and a client's, in memory.
final class TLSPair {
    /// The listener's end.
    let channel = EmbeddedChannel()
    let client = EmbeddedChannel()
    private(set) var identities: [String?] = []
    private let events = EventLog()

    /// Connects; the handshake is over, or has failed, or waits for ever.
    ///
    /// - Parameter context: the client's; nil for one that says nothing by itself.
    init(
        _ server: TLSServer,
        _ context: NIOSSLContext?,
        timeout: TimeAmount = .seconds(10),
        from address: String = "192.0.2.1"
    ) throws {
        try channel.connect(to: SocketAddress(ipAddress: address, port: 50_000), promise: nil)
        try server.secure(channel, timeout: timeout, address: ClientAddress(channel.remoteAddress)) { [self] in
            identities.append($0)
        }
        if let context {
            try client.pipeline.syncOperations.addHandlers(
                try NIOSSLClientHandler(context: context, serverHostname: "localhost"),
                events
            )
        }
        try client.connect(to: SocketAddress(ipAddress: "192.0.2.2", port: 8_883), promise: nil)
        try pump()
    }

    /// Carries bytes both ways until there are none.
    func pump() throws {
        var isDone = false
        while !isDone {
            isDone = true
            while let bytes = try client.readOutbound(as: ByteBuffer.self) {
                isDone = false
                if channel.isActive { _ = try? channel.writeInbound(bytes) }
            }
            while let bytes = try channel.readOutbound(as: ByteBuffer.self) {
                isDone = false
                if client.isActive { _ = try? client.writeInbound(bytes) }
            }
            channel.embeddedEventLoop.run()
            client.embeddedEventLoop.run()
        }
    }

    /// The protocol agreed on, as the client knows it; nil when the handshake is not done.
    var negotiated: String?? { events.negotiated }

    /// The certificate the client was shown.
    func shownCertificate() throws -> NIOSSLCertificate? {
        try client.pipeline.syncOperations.nioSSL_peerCertificate()
    }

    private final class EventLog: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        var negotiated: String??

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case .handshakeCompleted(let name) = event as? TLSUserEvent { negotiated = .some(name) }
            context.fireUserInboundEventTriggered(event)
        }
    }
}

/// Failures that were reported.
final class Reports: Sendable {
    private let box = NIOLockedValueBox<[HandshakeFailure]>([])

    var all: [HandshakeFailure] { box.withLockedValue { $0 } }
    var words: [String] { all.map(\.words) }

    func add(_ failure: HandshakeFailure) { box.withLockedValue { $0.append(failure) } }
}
