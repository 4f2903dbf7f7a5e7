import CCoAPShim
import CLibcoap
import Glibc
import NIOConcurrencyHelpers
import NIOCore

extension CoAPContext {
    /// Gives libcoap what it needs for handshakes; to be called before there is an endpoint.
    static func secure(_ context: OpaquePointer, _ security: CoAPSecurity) throws(OpenFailed) {
        if security.preSharedKeys != nil {
            var setup = coap_dtls_spsk_t()
            setup.version = UInt8(COAP_DTLS_SPSK_SETUP_VERSION)
            setup.validate_id_call_back = { identity, session, _ in
                guard let identity, let session else { return nil }
                return CoAPContext.of(session)?.key(of: identity.pointee, EndpointID(session))
            }
            guard coap_context_set_psk2(context, &setup) == 1 else {
                throw OpenFailed(reason: "libcoap can't do DTLS with pre-shared keys")
            }
        }
        guard let certificate = security.certificate?.value.files else { return }
        if let wrong = coap_shim_check_certificate(
            certificate.chain,
            certificate.privateKey,
            certificate.clientAuthority
        ) {
            throw OpenFailed(reason: "\(certificate.chain): \(String(cString: wrong))")
        }
        let isSet = coap_shim_set_certificate(
            context,
            LastingPath.of(certificate.chain),
            LastingPath.of(certificate.privateKey),
            certificate.clientAuthority.flatMap(LastingPath.of)
        ) { _, bytes, length, session, _, _, _ in
            guard let bytes, let session, let context = CoAPContext.of(session) else { return 0 }
            let certificate = [UInt8](UnsafeBufferPointer(start: bytes, count: length))
            return context.accepts(certificate, EndpointID(session)) ? 1 : 0
        }
        guard isSet else { throw OpenFailed(reason: "libcoap can't do DTLS with certificates") }
    }

    /// Takes down whose certificate was verified; one without the name that is asked for is refused.
    private func accepts(_ certificate: [UInt8], _ endpoint: EndpointID) -> Bool {
        let names = CertificateNames(certificate)
        let name =
            switch identityName {
            case .commonName: names?.commonName
            case .subjectAlternativeName: names?.subjectAlternativeName
            }
        guard let name else {
            let name = identityName == .commonName ? "Common Name" : "Subject Alternative Name"
            handshakeFailed(endpoint, otherwise: "the client's certificate has no \(name)")
            return false
        }
        events.append(.identified(endpoint, TransportIdentity(name: name, key: nil)))
        return true
    }

    /// The key of whoever begins a handshake; nil when nobody knows it.
    ///
    /// libcoap copies it at once.
    private func key(of identity: coap_bin_const_t, _ endpoint: EndpointID) -> UnsafePointer<coap_bin_const_t>? {
        let bytes = UnsafeBufferPointer(start: identity.s, count: identity.length)
        guard let name = String(validating: bytes, as: UTF8.self), let key = preSharedKeys?.key(of: Array(bytes))
        else {
            events.append(.identified(endpoint, nil))
            let identity = String(decoding: bytes.prefix(256), as: UTF8.self)
            events.append(
                .refused(
                    HandshakeRefusal(
                        remoteAddress: remoteAddress(of: endpoint),
                        identity: identity,
                        words: "no pre-shared key has that identity"
                    )
                )
            )
            return nil
        }
        handshakeBegan(endpoint, name)
        events.append(.identified(endpoint, TransportIdentity(name: name, key: key)))
        return keyAnswer.pointing(to: key)
    }

    /// Ends the sessions of those whose key is another one now, or gone.
    ///
    /// - Returns: what comes of it, to be dealt with before anything is sent: another message may be called as one that has
    ///   just come to nothing.
    func endOutdatedSessions() -> [Event] {
        let outdated = identities.filter { _, identity in
            identity.key.map { $0 != preSharedKeys?.key(of: Array(identity.name.utf8)) } ?? false
        }
        for endpoint in outdated.keys { disconnect(endpoint) }
        maintainAt = .distantPast
        return takeEvents()
    }
}

/// A key in memory that stays where it is, for libcoap to copy.
final class KeyAnswer {
    /// Bytes of the longest key libcoap takes.
    private static let longestKey = 64

    private let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: KeyAnswer.longestKey)
    private let answer = UnsafeMutablePointer<coap_bin_const_t>.allocate(capacity: 1)

    deinit {
        bytes.deallocate()
        answer.deallocate()
    }

    /// Good until the next call.
    func pointing(to key: [UInt8]) -> UnsafePointer<coap_bin_const_t> {
        let count = min(key.count, KeyAnswer.longestKey)
        for place in 0..<count { bytes[place] = key[place] }
        answer.initialize(to: coap_bin_const_t(length: count, s: UnsafePointer(bytes)))
        return UnsafePointer(answer)
    }
}

/// Paths for libcoap, which keeps the pointers it is given: one copy of each, for the life of the process.
private enum LastingPath {
    private struct Copies: @unchecked Sendable {
        // Sendable: the characters never change.
        var byPath: [String: UnsafePointer<CChar>] = [:]
    }

    private static let copies = NIOLockedValueBox(Copies())

    static func of(_ path: String) -> UnsafePointer<CChar>? {
        copies.withLockedValue { copies in
            if let copy = copies.byPath[path] { return copy }
            guard let made = strdup(path) else { return nil }
            copies.byPath[path] = UnsafePointer(made)
            return UnsafePointer(made)
        }
    }
}
