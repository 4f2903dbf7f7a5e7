import CGnuTLS
import Glibc
package import NIOCore

/// One peer's DTLS (RFC 6347) or TLS (RFC 5246, RFC 8446), sans I/O: records come in by `take`, and go out by `output`.
package final class SecureSession {
    /// What came of bytes or of time.
    package enum Happening {
        /// The handshake is over; who the peer has proven to be, nil where it need not say.
        case established(TransportIdentity?)
        /// What was in one record; good during the call.
        case received(UnsafeRawBufferPointer)
        /// What to tell of a handshake that has come to nothing, or seems to; at most once.
        case refused(identity: String?, words: String)
        /// Nothing comes any more; the session said goodbye, if there was anything to say.
        case ended
    }

    private enum State {
        case handshaking
        case established
        case over
    }

    let session: gnutls_session_t
    let context: SecureContext
    /// Sessions refer to their credentials; they live as long.
    let credentials: SecureCredentials
    private let identity: CoAPSecurity.CertificateIdentity
    private let output: (UnsafeRawBufferPointer) -> Bool
    private var state = State.handshaking
    /// What is being read.
    private var input = UnsafeRawBufferPointer(start: nil, count: 0)
    /// A record found no room.
    private var wasLost = false
    /// What is known of the peer so far.
    private var claim = PeerClaim()

    private let deadline: NIODeadline
    private var proofDueAt = NIODeadline.distantFuture
    /// When `goOn` has something to do; never, once the handshake is over.
    package private(set) var dueAt: NIODeadline

    /// Looks at a handshake's retransmissions are so far apart at least.
    private static let shortestLook = TimeAmount.milliseconds(50)
    /// Results in a row that are not the end of anything: more than a peer that means well makes of one flight.
    private static let mostSteps = 64

    init(
        _ context: SecureContext,
        _ credentials: SecureCredentials,
        identity: CoAPSecurity.CertificateIdentity,
        now: NIODeadline,
        output: @escaping (UnsafeRawBufferPointer) -> Bool
    ) throws(SecureContext.Failed) {
        let isDatagrams = context.transport == .datagrams
        var made: gnutls_session_t?
        let flags = GNUTLS_SERVER.rawValue | GNUTLS_NONBLOCK.rawValue | (isDatagrams ? GNUTLS_DATAGRAM.rawValue : 0)
        try SecureContext.check(gnutls_init(&made, UInt32(flags)))
        guard let made else { throw SecureContext.Failed(GNUTLS_E_MEMORY_ERROR) }
        session = made
        self.context = context
        self.credentials = credentials
        self.identity = identity
        self.output = output
        deadline = now + context.times.handshake
        dueAt = isDatagrams ? now + context.times.retransmission : deadline
        try credentials.equip(made)
        bindTransport()
        // A handshake's messages are kept until they are whole: as large as a chain of certificates where there are some.
        let asksPeers = credentials.certificate?.asksPeers ?? false
        gnutls_handshake_set_max_packet_length(made, asksPeers || !isDatagrams ? 16_384 : 4_096)
        if isDatagrams {
            gnutls_dtls_set_mtu(made, UInt32(SecureContext.largestRecord))
            let retransmission = UInt32(clamping: context.times.retransmission.nanoseconds / 1_000_000)
            gnutls_dtls_set_timeouts(made, retransmission, UInt32.max / 2)
        } else {
            try setApplicationProtocol()
        }
    }

    deinit { gnutls_deinit(session) }

    /// The peer has proven its address with that.
    func begin(after proof: HelloCookies.Proof) {
        var prestate = proof.prestate
        gnutls_dtls_prestate_set(session, &prestate)
    }

    // MARK: What comes in

    /// Takes a datagram, or bytes of a connection however they were cut.
    ///
    /// `body` may send, and may end the session.
    package func take(_ bytes: UnsafeRawBufferPointer, now: NIODeadline, _ body: (Happening) -> Void) {
        input = bytes
        defer { input = UnsafeRawBufferPointer(start: nil, count: 0) }
        if state == .handshaking { shakeHands(now, body) }
        var steps = 0
        while state == .established {
            let count = gnutls_record_recv(session, context.plaintext.baseAddress, context.plaintext.count)
            if count > 0 {
                steps = 0
                body(.received(UnsafeRawBufferPointer(rebasing: context.plaintext.prefix(count))))
                continue
            }
            let result = Int32(clamping: count)
            if result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED { return }
            steps += 1
            if result == GNUTLS_E_REHANDSHAKE {
                // RFC 5246 §7.2.2: nobody begins again inside a session.
                gnutls_alert_send(session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION)
            }
            if count == 0 || gnutls_error_is_fatal(result) != 0 || steps > Self.mostSteps {
                end()
                body(.ended)
            }
        }
    }

    /// Goes on with a handshake whose messages may have been lost, and looks at how long it takes; when `dueAt` says so.
    package func goOn(now: NIODeadline, _ body: (Happening) -> Void) {
        guard state == .handshaking else { return }
        guard now < deadline else { return fail(HandshakeWords.tooSlow, body) }
        if proofDueAt <= now {
            proofDueAt = .distantFuture
            refuse(HandshakeWords.notProven, body)
        }
        shakeHands(now, body)
    }

    // MARK: What goes out

    /// Encrypts and sends what fits into one record over datagrams, anything over connections.
    ///
    /// - Returns: whether it was sent.
    package func send(_ plaintext: UnsafeRawBufferPointer) -> Bool {
        guard state == .established else { return false }
        wasLost = false
        var rest = plaintext[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let count = gnutls_record_send(session, part.baseAddress, part.count)
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return !wasLost
    }

    /// Says goodbye; from now on there is nothing to take and nothing to send.
    package func end() {
        if state == .established { gnutls_bye(session, GNUTLS_SHUT_WR) }
        state = .over
        dueAt = .distantFuture
    }

    // MARK: The handshake

    private func shakeHands(_ now: NIODeadline, _ body: (Happening) -> Void) {
        for _ in 0..<Self.mostSteps {
            let result = gnutls_handshake(session)
            switch result {
            case GNUTLS_E_SUCCESS: return establish(body)
            case GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED: return schedule(now)
            case _ where gnutls_error_is_fatal(result) != 0: return fail(result, body)
            default: continue
            }
        }
        fail(GNUTLS_E_UNEXPECTED_PACKET, body)
    }

    private func establish(_ body: (Happening) -> Void) {
        let proven = provenIdentity
        if proven == nil, credentials.mustIdentify(isKey: isKeyUsed) { return fail(HandshakeWords.nobody, body) }
        if let proven, context.isOutdated(proven) { return fail(HandshakeWords.outdated, body) }
        state = .established
        dueAt = .distantFuture
        body(.established(proven))
    }

    private func schedule(_ now: NIODeadline) {
        if claim.key != nil, !claim.isTold, proofDueAt == .distantFuture { proofDueAt = now + context.times.proof }
        let look =
            context.transport == .datagrams
            ? now + max(.milliseconds(Int64(gnutls_dtls_get_timeout(session))), Self.shortestLook) : deadline
        dueAt = min(deadline, proofDueAt, look)
    }

    private func fail(_ result: Int32, _ body: (Happening) -> Void) {
        let words = HandshakeWords.of(result, claim, session, context.transport)
        if claim.isUnknown {
            gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_UNKNOWN_PSK_IDENTITY)
        } else {
            gnutls_alert_send_appropriate(session, result)
        }
        fail(words, body)
    }

    private func fail(_ words: String, _ body: (Happening) -> Void) {
        state = .over
        dueAt = .distantFuture
        refuse(words, body)
        body(.ended)
    }

    private func refuse(_ words: String, _ body: (Happening) -> Void) {
        guard !claim.isTold else { return }
        claim.isTold = true
        body(.refused(identity: claim.text, words: words))
    }
}

// What GnuTLS asks for in the middle of its functions.
extension SecureSession {
    static func of(_ session: gnutls_session_t?) -> SecureSession? { of(gnutls_session_get_ptr(session)) }

    private static func of(_ pointer: UnsafeMutableRawPointer?) -> SecureSession? {
        pointer.map { Unmanaged<SecureSession>.fromOpaque($0).takeUnretainedValue() }
    }

    private func bindTransport() {
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

    private func setApplicationProtocol() throws(SecureContext.Failed) {
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
            claim.certificateWords = HandshakeWords.of(certificate: status)
            return false
        }
        var count: UInt32 = 0
        guard let chain = gnutls_certificate_get_peers(session, &count), count > 0 else { return false }
        let names = CertificateNames(
            [UInt8](UnsafeBufferPointer(start: chain.pointee.data, count: Int(chain.pointee.size)))
        )
        claim.certificateName = identity == .commonName ? names?.commonName : names?.subjectAlternativeName
        guard claim.certificateName != nil else {
            claim.certificateWords = HandshakeWords.nameless(identity)
            return false
        }
        return true
    }

    private var isKeyUsed: Bool { gnutls_auth_get_type(session) == GNUTLS_CRD_PSK }

    private var provenIdentity: TransportIdentity? {
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
    var certificateWords: String?
    /// Something was told of it.
    var isTold = false

    /// As much of the name as a line of the log should have.
    var text: String? { name.map { String(decoding: $0.prefix(256), as: UTF8.self) } }
}

extension SecureCredentials {
    /// Whether a peer has to say who it is.
    fileprivate func mustIdentify(isKey: Bool) -> Bool { isKey || certificate?.asksPeers ?? true }
}
