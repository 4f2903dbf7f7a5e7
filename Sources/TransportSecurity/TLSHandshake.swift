import NIOCore
import NIOSSL
import NIOTLS

/// Stands above the TLS handler until the handshake is over, one way or the other, and leaves.
final class TLSHandshake: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The certificate the client has shown, or why there is no connection.
    typealias Outcome = Result<NIOSSLCertificate?, Failed>

    /// A handshake came to nothing.
    struct Failed: Error {
        let words: String
        /// Whether it happens without anybody's mistake.
        var isOrdinary = false
    }

    private let handler: NIOSSLServerHandler
    private let timeout: TimeAmount
    private var onEnd: ((Outcome) throws -> Void)?
    private var alarm: Scheduled<Void>?

    /// - Parameter onEnd: called once on the channel's event loop; when it throws, the channel is closed.
    init(_ handler: NIOSSLServerHandler, timeout: TimeAmount, onEnd: @escaping (Outcome) throws -> Void) {
        self.handler = handler
        self.timeout = timeout
        self.onEnd = onEnd
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        alarm = context.eventLoop.scheduleTask(in: timeout) {
            let (handshake, context) = bound.value
            handshake.end(.failure(Failed(words: "the handshake took too long")), context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end(.failure(Failed(words: "the connection was closed", isOrdinary: true)), context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        end(.success(handler.peerCertificate), context)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard onEnd != nil else { return context.fireErrorCaught(error) }
        end(.failure(Failed(error)), context)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard onEnd != nil, mode == .all else { return context.close(mode: mode, promise: promise) }
        end(.failure(Failed(words: "the connection was closed", isOrdinary: true)), context, promise)
    }

    private func end(_ outcome: Outcome, _ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>? = nil) {
        alarm?.cancel()
        alarm = nil
        guard let onEnd = onEnd.take() else { return }
        do {
            try onEnd(outcome)
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            guard case .failure = outcome else { return context.close(promise: promise) }
            abandon(context, promise)
        }
    }

    /// Closes without the TLS handler, which would wait for its peer to agree, and has none.
    private func abandon(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?) {
        guard let below = try? context.pipeline.syncOperations.context(handler: handler) else {
            return context.close(promise: promise)
        }
        below.close(promise: promise)
    }
}

extension TLSHandshake.Failed {
    /// In words for whoever has to mend it.
    init(_ error: any Error) {
        let text = "\(error)"
        // The names of BoringSSL's errors.
        let known: [(name: String, words: String)] = [
            ("HTTP_REQUEST", "the client speaks HTTP without TLS"),
            ("WRONG_VERSION_NUMBER", "the client does not speak TLS"),
            ("UNSUPPORTED_PROTOCOL", "the client speaks no TLS as new as 1.2"),
            ("NO_SHARED_CIPHER", "the client speaks no cipher suite of ours"),
            ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "the client shows no certificate"),
            ("CERTIFICATE_VERIFY_FAILED", "the client's certificate is out of date, or of another authority"),
            ("ALERT_UNKNOWN_CA", "the client does not know the authority of our certificate"),
            ("ALERT_CERTIFICATE_UNKNOWN", "the client does not accept our certificate"),
            ("ALERT_BAD_CERTIFICATE", "the client does not accept our certificate"),
            ("ALERT_CERTIFICATE_EXPIRED", "our certificate has expired, says the client"),
        ]
        if let found = known.first(where: { text.contains($0.name) }) {
            self.init(words: found.words)
        } else if let error = error as? NIOSSLError, case .handshakeFailed(.sslError(let stack)) = error,
            stack == [.eofDuringHandshake]
        {
            // Port scanners and health checks do nothing else.
            self.init(words: "the client left", isOrdinary: true)
        } else {
            self.init(words: error is IOError ? "the client left" : text, isOrdinary: error is IOError)
        }
    }
}
