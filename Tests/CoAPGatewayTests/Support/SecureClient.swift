import CGnuTLS
import CoAPGateway
import Glibc

/// Both in PEM.
struct CertificateWithKey {
    let certificate: [UInt8]
    let key: [UInt8]
}

/// A client's end of DTLS or TLS by GnuTLS, without a socket.
final class SecureClient {
    enum Credentials {
        case key(_ identity: [UInt8], _ key: [UInt8])
        /// nil shows none.
        case certificate(CertificateWithKey?)

        static func key(_ identity: String, _ key: String) -> Self { .key(Array(identity.utf8), Array(key.utf8)) }
    }

    private let session: gnutls_session_t
    private let isStream: Bool
    private var psk: gnutls_psk_client_credentials_t?
    private var certificate: gnutls_certificate_credentials_t?
    /// What comes from the server, by datagram or as it was cut.
    var incoming: [[UInt8]] = []
    /// What goes to the server.
    var outgoing: [[UInt8]] = []
    private(set) var isEstablished = false
    /// What the handshake, or the last record, came to.
    private(set) var failure: Int32?

    /// - Parameters:
    ///   - priorities: in GnuTLS's words.
    ///   - retransmission: milliseconds.
    init(
        _ transport: SecureTransport,
        _ credentials: Credentials,
        priorities: String? = nil,
        retransmission: UInt32 = 20
    ) throws {
        var made: gnutls_session_t?
        // It shows its certificate whatever authorities the server names.
        let flags = GNUTLS_CLIENT.rawValue | GNUTLS_NONBLOCK.rawValue | GNUTLS_FORCE_CLIENT_CERT.rawValue
        let datagrams = transport == .datagrams ? GNUTLS_DATAGRAM.rawValue : 0
        guard gnutls_init(&made, UInt32(flags | datagrams)) == 0, let made else { throw Failed() }
        session = made
        isStream = transport == .connections
        let own = Unmanaged.passUnretained(self).toOpaque()
        gnutls_transport_set_ptr(made, own)
        gnutls_transport_set_push_function(made) { own, bytes, count in
            guard let own else { return -1 }
            let client = Unmanaged<SecureClient>.fromOpaque(own).takeUnretainedValue()
            client.outgoing.append([UInt8](UnsafeRawBufferPointer(start: bytes, count: count)))
            return count
        }
        gnutls_transport_set_pull_function(made) { own, bytes, count in
            guard let own, let bytes else { return -1 }
            return Unmanaged<SecureClient>.fromOpaque(own).takeUnretainedValue().pull(bytes, count)
        }
        gnutls_transport_set_pull_timeout_function(made) { own, _ in
            guard let own else { return -1 }
            return Unmanaged<SecureClient>.fromOpaque(own).takeUnretainedValue().incoming.isEmpty ? 0 : 1
        }
        if transport == .datagrams { gnutls_dtls_set_timeouts(made, retransmission, 60_000) }
        if transport == .datagrams { gnutls_dtls_set_mtu(made, 1_400) }
        let usual = transport == .datagrams ? "NORMAL:-VERS-ALL:+VERS-DTLS1.2" : "NORMAL"
        guard gnutls_priority_set_direct(made, priorities ?? usual + ":+ECDHE-PSK:+PSK:+AES-128-CCM-8", nil) == 0 else {
            throw Failed()
        }
        set(credentials)
    }

    private func set(_ credentials: Credentials) {
        switch credentials {
        case .key(var identity, var key):
            gnutls_psk_allocate_client_credentials(&psk)
            identity.withUnsafeMutableBufferPointer { identity in
                key.withUnsafeMutableBufferPointer { key in
                    var name = gnutls_datum_t(data: identity.baseAddress, size: UInt32(identity.count))
                    var secret = gnutls_datum_t(data: key.baseAddress, size: UInt32(key.count))
                    _ = gnutls_psk_set_client_credentials2(psk, &name, &secret, GNUTLS_PSK_KEY_RAW)
                }
            }
            gnutls_credentials_set(session, GNUTLS_CRD_PSK, psk.map { UnsafeMutableRawPointer($0) })
        case .certificate(let own):
            gnutls_certificate_allocate_credentials(&certificate)
            if let own {
                own.certificate.withUnsafeBufferPointer { chain in
                    own.key.withUnsafeBufferPointer { key in
                        var chain = gnutls_datum_t(
                            data: UnsafeMutablePointer(mutating: chain.baseAddress),
                            size: UInt32(chain.count)
                        )
                        var key = gnutls_datum_t(
                            data: UnsafeMutablePointer(mutating: key.baseAddress),
                            size: UInt32(key.count)
                        )
                        _ = gnutls_certificate_set_x509_key_mem2(certificate, &chain, &key, GNUTLS_X509_FMT_PEM, nil, 0)
                    }
                }
            }
            gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, certificate.map { UnsafeMutableRawPointer($0) })
        }
    }

    deinit {
        gnutls_deinit(session)
        if let psk { gnutls_psk_free_client_credentials(psk) }
        if let certificate { gnutls_certificate_free_credentials(certificate) }
    }

    private func pull(_ room: UnsafeMutableRawPointer, _ count: Int) -> Int {
        guard !incoming.isEmpty else {
            gnutls_transport_set_errno(session, EAGAIN)
            return -1
        }
        var first = incoming.removeFirst()
        let part = min(count, first.count)
        first.withUnsafeBytes { room.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(room), byteCount: part) }
        if isStream, part < first.count {
            first.removeFirst(part)
            incoming.insert(first, at: 0)
        }
        return part
    }

    /// Its records may be as large as records are.
    func sendLargeRecords() { gnutls_dtls_set_mtu(session, 16_384) }

    /// Goes on with the handshake.
    func shakeHands() {
        while !isEstablished, failure == nil {
            let result = gnutls_handshake(session)
            if result == GNUTLS_E_SUCCESS { isEstablished = true }
            if result == GNUTLS_E_AGAIN { return }
            if gnutls_error_is_fatal(result) != 0 { failure = result }
        }
    }

    /// The last of what goes to the server, which then does not.
    func takeLast() -> [UInt8]? { outgoing.popLast() }

    @discardableResult
    func send(_ plaintext: [UInt8]) -> Bool {
        gnutls_record_send(session, plaintext, plaintext.count) == plaintext.count
    }

    /// The contents of a record; nil when none has come, or the session is over.
    func receive() -> [UInt8]? {
        var plaintext = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = gnutls_record_recv(session, &plaintext, plaintext.count)
            if count > 0 { return Array(plaintext.prefix(count)) }
            if count == Int(GNUTLS_E_AGAIN) { return nil }
            if count == 0 || gnutls_error_is_fatal(Int32(count)) != 0 {
                failure = Int32(count)
                return nil
            }
        }
    }

    /// What the server has told it is wrong.
    var alert: gnutls_alert_description_t { gnutls_alert_get(session) }
    var cipherSuite: String { gnutls_ciphersuite_get(session).map { String(cString: $0) } ?? "" }

    /// What the server has shown, in DER.
    var peerCertificate: [UInt8]? {
        var count: UInt32 = 0
        return gnutls_certificate_get_peers(session, &count).map {
            [UInt8](UnsafeBufferPointer(start: $0.pointee.data, count: Int($0.pointee.size)))
        }
    }

    func goodbye() { gnutls_bye(session, GNUTLS_SHUT_WR) }
    func renegotiate() { _ = gnutls_handshake(session) }

    struct Failed: Error {}
}
