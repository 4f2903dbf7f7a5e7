import CGnuTLS
import Glibc
package import NIOCore

/// The stateless answer to a ClientHello: HelloVerifyRequest with a cookie that proves the sender's address when it comes
/// back (RFC 6347 §4.2.1).
///
/// Cookies are the sender's address and its ClientHello, hashed with a key that is another one every minute, so that a
/// ClientHello that somebody has seen is not worth anything for long.
package final class HelloCookies {
    /// How long a key is used; cookies are good for as long again.
    package static let lifetime = TimeAmount.seconds(60)

    private var key = gnutls_datum_t()
    private var former = gnutls_datum_t()
    private var renewAt: NIODeadline
    /// What is to be sent.
    private var answer: [UInt8] = []

    package init(now: NIODeadline) throws(SecureContext.Failed) {
        renewAt = now + Self.lifetime
        try SecureContext.check(gnutls_key_generate(&key, UInt32(GNUTLS_COOKIE_KEY_SIZE)))
        do throws(SecureContext.Failed) {
            try SecureContext.check(gnutls_key_generate(&former, UInt32(GNUTLS_COOKIE_KEY_SIZE)))
        } catch {
            free(key.data)
            throw error
        }
    }

    deinit {
        free(key.data)
        free(former.data)
    }

    /// What a session begins with whose client has proven its address.
    package struct Proof {
        fileprivate(set) var prestate = gnutls_dtls_prestate_st()
    }

    /// Looks at a ClientHello.
    ///
    /// - Parameters:
    ///   - client: the address and port it has come from, as bytes.
    ///   - send: called with HelloVerifyRequest when nothing is proven.
    /// - Returns: nil when nothing is proven.
    package func check(
        _ hello: UnsafeRawBufferPointer,
        from client: UnsafeRawBufferPointer,
        now: NIODeadline,
        _ send: (UnsafeRawBufferPointer) -> Void
    ) -> Proof? {
        renew(now)
        var proof = Proof()
        // GnuTLS only reads the two.
        let message = UnsafeMutableRawPointer(mutating: hello.baseAddress)
        let address = UnsafeMutableRawPointer(mutating: client.baseAddress)
        for var key in [former, key] {
            let result = gnutls_dtls_cookie_verify(&key, address, client.count, message, hello.count, &proof.prestate)
            if result >= 0 { return proof }
            guard result == GNUTLS_E_BAD_COOKIE else { return nil }
        }
        answer.removeAll(keepingCapacity: true)
        let own = Unmanaged.passUnretained(self).toOpaque()
        let sent = gnutls_dtls_cookie_send(&key, address, client.count, &proof.prestate, own) { own, bytes, count in
            guard let own, let bytes else { return -1 }
            let cookies = Unmanaged<HelloCookies>.fromOpaque(own).takeUnretainedValue()
            cookies.answer.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
            return count
        }
        if sent >= 0 { answer.withUnsafeBytes(send) }
        return nil
    }

    private func renew(_ now: NIODeadline) {
        guard now >= renewAt else { return }
        // Where nobody has come for long, the former one has had its time too.
        if now >= renewAt + Self.lifetime { replaceKey() }
        replaceKey()
        renewAt = now + Self.lifetime
    }

    private func replaceKey() {
        var fresh = gnutls_datum_t()
        // Without random bytes the old one goes on.
        guard gnutls_key_generate(&fresh, UInt32(GNUTLS_COOKIE_KEY_SIZE)) == GNUTLS_E_SUCCESS else { return }
        free(former.data)
        (former, key) = (key, fresh)
    }
}
