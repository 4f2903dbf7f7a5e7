import CGnuTLS
import Glibc

// What GnuTLS asks for in the middle of its functions.
extension SecureSession {
    static func of(_ session: gnutls_session_t?) -> SecureSession? { of(gnutls_session_get_ptr(session)) }

    private static func of(_ pointer: UnsafeMutableRawPointer?) -> SecureSession? {
        pointer.map { Unmanaged<SecureSession>.fromOpaque($0).takeUnretainedValue() }
    }

    func bindTransport() {
        let own = Unmanaged.passUnretained(self).toOpaque()
        gnutls_session_set_ptr(session, own)
        gnutls_transport_set_ptr(session, own)
        gnutls_transport_set_push_function(session) { own, bytes, count in
            SecureSession.of(own)?.push(UnsafeRawBufferPointer(start: bytes, count: count)) ?? -1
        }
        gnutls_transport_set_pull_function(session) { own, bytes, count in
            SecureSession.of(own)?.pull(UnsafeMutableRawBufferPointer(start: bytes, count: count)) ?? -1
        }
        gnutls_transport_set_pull_timeout_function(session) { own, _ in
            SecureSession.of(own)?.input.isEmpty ?? true ? 0 : 1
        }
    }

    func setApplicationProtocol() throws(SecureContext.Failed) {
        // RFC 8323 §8.2: whoever says what it wants to speak wants this.
        var name = Array("coap".utf8)
        let count = UInt32(name.count)
        let result = name.withUnsafeMutableBufferPointer { name in
            var datum = gnutls_datum_t(data: name.baseAddress, size: count)
            return gnutls_alpn_set_protocols(session, &datum, 1, GNUTLS_ALPN_MANDATORY.rawValue)
        }
        try SecureContext.check(result)
    }

    private func push(_ bytes: UnsafeRawBufferPointer) -> Int {
        if !output(bytes) { wasLost = true }
        return bytes.count
    }

    private func pull(_ room: UnsafeMutableRawBufferPointer) -> Int {
        guard !input.isEmpty else {
            gnutls_transport_set_errno(session, EAGAIN)
            return -1
        }
        let part = input.prefix(room.count)
        room.copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
        // A datagram is read at once or not at all.
        let taken = context.transport == .datagrams ? input.count : part.count
        input = UnsafeRawBufferPointer(rebasing: input.dropFirst(taken))
        return part.count
    }

    /// The client names its key.
    ///
    /// - Returns: 0, or -1 where nobody knows it.
    func giveKey(of name: [UInt8], _ answer: inout gnutls_datum_t) -> Int32 {
        claim.name = name
        guard String(validating: name, as: UTF8.self) != nil, let key = context.preSharedKeys?.key(of: name),
            let copy = malloc(key.count)
        else {
            claim.isUnknown = true
            return -1
        }
        // GnuTLS frees it.
        UnsafeMutableRawBufferPointer(start: copy, count: key.count).copyBytes(from: key)
        answer = gnutls_datum_t(data: copy.assumingMemoryBound(to: UInt8.self), size: UInt32(key.count))
        claim.key = key
        return 0
    }

    /// The client shows its certificate.
    func acceptsCertificate() -> Bool {
        var purpose = gnutls_typed_vdata_st()
        purpose.type = GNUTLS_DT_KEY_PURPOSE_OID
        var oid = Array(GNUTLS_KP_TLS_WWW_CLIENT.utf8) + [0]
        var status: UInt32 = 0
        let result = oid.withUnsafeMutableBufferPointer { oid in
            purpose.data = oid.baseAddress
            return gnutls_certificate_verify_peers(session, &purpose, 1, &status)
        }
        guard result == GNUTLS_E_SUCCESS, status == 0 else {
            claim.flaw = .of(status)
            return false
        }
        var count: UInt32 = 0
        guard let chain = gnutls_certificate_get_peers(session, &count), count > 0 else { return false }
        let names = CertificateNames(
            [UInt8](UnsafeBufferPointer(start: chain.pointee.data, count: Int(chain.pointee.size)))
        )
        claim.certificateName = identity == .commonName ? names?.commonName : names?.subjectAlternativeName
        guard claim.certificateName != nil else {
            claim.flaw = .nameless(identity)
            return false
        }
        return true
    }

    var isKeyUsed: Bool { gnutls_auth_get_type(session) == GNUTLS_CRD_PSK }

    var provenIdentity: TransportIdentity? {
        if isKeyUsed {
            guard let name = claim.name, let key = claim.key else { return nil }
            return String(validating: name, as: UTF8.self).map { TransportIdentity(name: $0, key: key) }
        }
        return claim.certificateName.map { TransportIdentity(name: $0, key: nil) }
    }
}

/// Who a client says it is, while it has not proven it.
struct PeerClaim {
    /// Of a pre-shared key, byte for byte.
    var name: [UInt8]?
    /// Ours of that name.
    var key: [UInt8]?
    /// Nobody knows the name.
    var isUnknown = false
    /// The one that is asked for, of a certificate that is good.
    var certificateName: String?
    /// What is wrong with its certificate.
    var flaw: CertificateFlaw?
    /// Something was told of it.
    var isTold = false

    /// As much of the name as a line of the log should have.
    var text: String? { name.map { String(decoding: $0.prefix(256), as: UTF8.self) } }
}

extension SecureCredentials {
    /// Whether a peer has to say who it is.
    func mustIdentify(isKey: Bool) -> Bool { isKey || certificate?.asksPeers ?? true }
}
