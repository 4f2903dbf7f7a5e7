package import BrokerCore
package import CoreRuntime
import NIOConcurrencyHelpers
package import NIOCore
import NIOSSL

/// The TLS of one listener: its certificate, which may be replaced while it listens, and the handshakes under way.
package final class TLSServer: Sendable {
    private struct State {
        var context: NIOSSLContext
        var handshakes: Quota
    }

    /// Handshakes under way at a time, half of them of one address; one more is closed.
    ///
    /// Each holds memory and nobody knows yet whose it is.
    package static let maximumHandshakes = 4_096

    private let state: NIOLockedValueBox<State>
    private let identity: CertificateIdentity?
    private let report: @Sendable (HandshakeFailure) -> Void
    private let refusals: Refusals

    /// - Parameters:
    ///   - identity: the name by which clients are known; nil when they show no certificate.
    ///   - handshakes: how many may be under way.
    ///   - report: told of each handshake that failed, on any thread.
    package init(
        _ context: TLSContext,
        identity: CertificateIdentity?,
        handshakes: Quota.Limit = Quota.Limit(total: TLSServer.maximumHandshakes),
        refusals: Refusals = Refusals(),
        report: @escaping @Sendable (HandshakeFailure) -> Void
    ) {
        state = NIOLockedValueBox(State(context: context.context, handshakes: Quota(handshakes)))
        self.identity = identity
        self.refusals = refusals
        self.report = report
    }

    /// Goes on with another certificate for connections to come.
    package func replace(_ context: TLSContext) { state.withLockedValue { $0.context = context.context } }

    /// Puts TLS at the end of a channel's pipeline; on the channel's event loop.
    ///
    /// - Parameters:
    ///   - timeout: how long the handshake may take.
    ///   - address: where the client is.
    ///   - onSecure: called once on the channel's event loop when the handshake is done and before anything is read, with
    ///     the client's user name if it shows a certificate; when it throws, the channel is closed.
    package func secure(
        _ channel: any Channel,
        timeout: TimeAmount,
        address: ClientAddress,
        onSecure: @escaping (_ identity: String?) throws -> Void
    ) throws {
        let holder = Holder(network: address.network)
        let context = state.withLockedValue { state in
            state.handshakes.take(for: holder) == nil ? state.context : nil
        }
        guard let context else {
            refusals.note(.handshakes, "\(address)")
            report(HandshakeFailure(address: address, words: "too many handshakes are under way"))
            throw TooManyHandshakes()
        }
        let handler = NIOSSLServerHandler(context: context)
        let handshake = TLSHandshake(handler, timeout: timeout) { [self] outcome in
            state.withLockedValue { $0.handshakes.giveBack(for: holder) }
            switch outcome {
            case .failure(let failure):
                report(HandshakeFailure(address: address, words: failure.words, isOrdinary: failure.isOrdinary))
                throw failure
            case .success(let certificate): try onSecure(try name(of: certificate, address))
            }
        }
        try channel.pipeline.syncOperations.addHandlers(handler, handshake)
    }

    /// - Throws: when a certificate is asked for and has no name.
    private func name(of certificate: NIOSSLCertificate?, _ address: ClientAddress) throws -> String? {
        guard let identity else { return nil }
        if let name = certificate.flatMap(identity.name) { return name }
        report(
            HandshakeFailure(
                address: address,
                words: identity == .commonName
                    ? "the client's certificate has no Common Name"
                    : "the client's certificate has no DNS name or URI as Subject Alternative Name"
            )
        )
        throw NamelessCertificate()
    }

    private struct TooManyHandshakes: Error {}
    private struct NamelessCertificate: Error {}
}
