import CGnuTLS
package import NIOCore

/// What a listener's secure sessions share: its credentials, and the cookies of DTLS; sans I/O.
///
/// Confined to the thread that serves. GnuTLS does the cryptography, by its public interface only.
package final class SecureContext {
    /// Nothing can be served with it.
    package struct Failed: Error {
        package let reason: String

        init(reason: String) { self.reason = reason }

        /// In GnuTLS's words.
        init(_ error: Int32) { reason = String(cString: gnutls_strerror(error)) }
    }

    /// How long a handshake may take, and how long its parts.
    package struct Times: Sendable {
        /// Before a flight that was not answered is sent again, twice as long each time (RFC 6347 §4.2.4.1); GnuTLS's own
        /// clock measures it.
        package var retransmission = TimeAmount.seconds(1)
        /// What proves a key comes with the key's name, unless the network is slow.
        package var proof = TimeAmount.seconds(1)
        /// All of it.
        package var handshake = TimeAmount.seconds(30)

        package init() {}
    }

    /// Bytes of a DTLS record at most, its header included: what IPv6 promises to carry (RFC 8200 §5), less UDP's header.
    package static let largestRecord = 1_280 - 40 - 8
    /// Bytes of a record's content over TLS at most (RFC 8446 §5.1).
    static let largestContent = 16_384

    let transport: SecureTransport
    let times: Times
    let preSharedKeys: PreSharedKeys?
    /// Nil where connections prove the address.
    package let cookies: HelloCookies?
    /// Where sessions decrypt, one after the other.
    let plaintext = UnsafeMutableRawBufferPointer.allocate(byteCount: largestContent, alignment: 16)
    private let security: CoAPSecurity
    private var credentials: SecureCredentials

    /// - Throws: `Failed`, when the certificate can't be used.
    package init(
        _ security: CoAPSecurity,
        _ transport: SecureTransport,
        times: Times = Times(),
        now: NIODeadline
    ) throws(Failed) {
        self.security = security
        self.transport = transport
        self.times = times
        preSharedKeys = security.preSharedKeys
        credentials = try SecureCredentials(security, transport)
        cookies = transport == .datagrams ? try HelloCookies(now: now) : nil
    }

    deinit { plaintext.deallocate() }

    /// Goes on with the certificate that is in force now, for handshakes to come.
    ///
    /// - Throws: `Failed`; the one before stays.
    package func renewCredentials() throws(Failed) { credentials = try SecureCredentials(security, transport) }

    /// Whether the key that a peer has proven to have is not that of its name any more.
    package func isOutdated(_ identity: TransportIdentity) -> Bool {
        identity.key.map { $0 != preSharedKeys?.key(of: Array(identity.name.utf8)) } ?? false
    }

    /// Begins a peer's session.
    ///
    /// - Parameters:
    ///   - proof: of its address, over datagrams.
    ///   - output: called with each record, or over TLS with bytes, that are to be sent, in the middle of the session's
    ///     functions: it must not call any of them. False says that there was no room: over datagrams the record is
    ///     lost, like any other; over connections there must be.
    /// - Throws: `Failed`, where there is no memory.
    package func makeSession(
        _ proof: HelloCookies.Proof?,
        now: NIODeadline,
        output: @escaping (UnsafeRawBufferPointer) -> Bool
    ) throws(Failed) -> SecureSession {
        let session = try SecureSession(self, credentials, identity: security.identity, now: now, output: output)
        if let proof { session.begin(after: proof) }
        return session
    }

    static func check(_ result: Int32) throws(Failed) {
        guard result >= 0 else { throw Failed(result) }
    }
}
