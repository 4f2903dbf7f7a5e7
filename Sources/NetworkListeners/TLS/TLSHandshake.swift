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
            ("ALERT_UNSUPPORTED_CERTIFICATE", "the client can't use our certificate"),
            ("ALERT_HANDSHAKE_FAILURE", "the client finds no cipher suite or group that it speaks"),
            ("ALERT_PROTOCOL_VERSION", "the client speaks no TLS as new as 1.2"),
            ("ALERT_UNRECOGNIZED_NAME", "the client expects another server name"),
            // A client that breaks off in TLS 1.3 says so in the clear, where only encrypted records are expected.
            ("BAD_PACKET_LENGTH", Self.brokenOff), ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", Self.brokenOff),
            ("BAD_DECRYPT", Self.brokenOff),
            ("NO_APPLICATION_PROTOCOL", "the client speaks another protocol inside TLS"),
        ]
        if let found = known.first(where: { text.contains($0.name) }) {
            self.init(words: found.words)
        } else if let error = error as? NIOSSLError, case .handshakeFailed(.sslError(let stack)) = error,
            stack == [.eofDuringHandshake]
        {
            // Port scanners and health checks do nothing else.
            self.init(words: "the client left", isOrdinary: true)
        } else {
            self.init(words: error is IOError ? "the client left" : Self.name(in: text), isOrdinary: error is IOError)
        }
    }

    private static let brokenOff =
        "the client broke the handshake off: it does not trust our certificate, or has no file of its authority"

    /// The name that BoringSSL has for an error, without what else it says of it: where it was in which source.
    private static func name(in text: String) -> String {
        let words: [Substring] = text.split { !($0.isUppercase || $0 == "_" || $0.isNumber) }
        let name = words.first { $0.count > 4 && $0.contains("_") && $0.last != "_" && $0.first?.isUppercase == true }
        guard let name else { return "the handshake failed" }
        return "the handshake failed: \(name.lowercased().replacing("_", with: " "))"
    }
}
