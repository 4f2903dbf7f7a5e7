import CGnuTLS
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
    let identity: CoAPSecurity.CertificateIdentity
    let output: (UnsafeRawBufferPointer) -> Bool
    private var state = State.handshaking
    /// What is being read.
    var input = UnsafeRawBufferPointer(start: nil, count: 0)
    /// A record found no room.
    var wasLost = false
    /// What is known of the peer so far.
    var claim = PeerClaim()

    private var handshake: Handshake
    /// When `goOn` has something to do; never, once the handshake is over.
    package private(set) var dueAt: NIODeadline

    private struct Handshake {
        /// Over datagrams: what comes before anything is encrypted.
        var messages: HandshakeMessages
        /// Over connections: how much more may come before it is over.
        var bytesLeft = 65_536
        let deadline: NIODeadline
        /// When the log learns about a peer that has not proven its key.
        var proofDueAt = NIODeadline.distantFuture
    }

    /// Whether the handshake is not over.
    package var isShakingHands: Bool { state == .handshaking }

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
        // As large as a chain of certificates where there are some.
        let asksPeers = credentials.certificate?.asksPeers ?? false
        let mostHandshake = asksPeers || !isDatagrams ? 16_384 : 4_096
        handshake = Handshake(
            messages: HandshakeMessages(most: mostHandshake),
            deadline: now + context.times.handshake
        )
        dueAt = now + (isDatagrams ? context.times.retransmission : context.times.handshake)
        try credentials.equip(made)
        bindTransport()
        gnutls_handshake_set_max_packet_length(made, mostHandshake)
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
        guard context.transport == .datagrams else {
            read(bytes, now, body)
            guard state == .handshaking else { return }
            // GnuTLS keeps a message until it is whole, whatever it says of its length.
            handshake.bytesLeft -= bytes.count
            if handshake.bytesLeft < 0 { fail(GNUTLS_E_HANDSHAKE_TOO_LARGE, body) }
            return
        }
        var rest = bytes
        while let length = DatagramRecord.length(rest) {
            let record = UnsafeRawBufferPointer(rebasing: rest[..<length])
            if state == .handshaking { readHandshake(record, now, body) } else { read(record, now, body) }
            rest = UnsafeRawBufferPointer(rebasing: rest[length...])
        }
    }

    /// Reads a record while a DTLS session begins.
    private func readHandshake(_ record: UnsafeRawBufferPointer, _ now: NIODeadline, _ body: (Happening) -> Void) {
        if DatagramRecord.isOpenHandshake(record) {
            let content = handshake.messages.take(UnsafeRawBufferPointer(rebasing: record[DatagramRecord.header...]))
            guard !content.isEmpty else { return }
            return DatagramRecord.with(headerOf: record, content).withUnsafeBytes { read($0, now, body) }
        }
        let discarded = gnutls_record_get_discarded(session)
        read(record, now, body)
        // The first one that is encrypted is the client's last: what it is, and what it is not (see `HandshakeMessages`).
        guard state == .handshaking, DatagramRecord.isHandshake(record),
            gnutls_record_get_discarded(session) == discarded
        else { return }
        fail(GNUTLS_E_UNEXPECTED_HANDSHAKE_PACKET, body)
    }

    private func read(_ bytes: UnsafeRawBufferPointer, _ now: NIODeadline, _ body: (Happening) -> Void) {
        input = bytes
        defer { input = UnsafeRawBufferPointer(start: nil, count: 0) }
        if state == .handshaking { shakeHands(now, body) }
        var steps = 0
        while state == .established {
            let count = gnutls_record_recv(session, context.plaintext.baseAddress, context.plaintext.count)
            if count > 0 {
                steps = 0
                body(.received(UnsafeRawBufferPointer(rebasing: context.plaintext.prefix(count))))
                // There is one record in what is read, and that was it: to ask for another one costs half as much again.
                if context.transport == .datagrams, input.isEmpty, gnutls_record_check_pending(session) == 0 { return }
                continue
            }
            let result = Int32(clamping: count)
            // It may have dropped what it had left of before, and not have looked at this.
            if result == GNUTLS_E_AGAIN, input.isEmpty || steps > Self.mostSteps { return }
            steps += 1
            if result == GNUTLS_E_REHANDSHAKE {
                // RFC 5246 §7.2.2: nobody begins again inside a session.
                gnutls_alert_send(session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION)
            }
            if count == 0 || gnutls_error_is_fatal(result) != 0 || steps > 2 * Self.mostSteps {
                end()
                body(.ended)
            }
        }
    }

    /// Goes on with a handshake whose messages may have been lost, and looks at how long it takes; when `dueAt` says so.
    package func goOn(now: NIODeadline, _ body: (Happening) -> Void) {
        guard state == .handshaking else { return }
        guard now < handshake.deadline else { return fail(HandshakeWords.tooSlow, body) }
        if handshake.proofDueAt <= now {
            handshake.proofDueAt = .distantFuture
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
            case GNUTLS_E_AGAIN where input.isEmpty: return schedule(now)
            case _ where gnutls_error_is_fatal(result) != 0: return fail(result, body)
            default: continue
            }
        }
        // A datagram that nothing can be made of is as good as lost.
        if context.transport == .datagrams { schedule(now) } else { fail(GNUTLS_E_UNEXPECTED_PACKET, body) }
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
        if claim.key != nil, !claim.isTold, handshake.proofDueAt == .distantFuture {
            handshake.proofDueAt = now + context.times.proof
        }
        let look =
            context.transport == .datagrams
            ? now + max(.milliseconds(Int64(gnutls_dtls_get_timeout(session))), Self.shortestLook) : handshake.deadline
        dueAt = min(handshake.deadline, handshake.proofDueAt, look)
    }

    private func fail(_ result: Int32, _ body: (Happening) -> Void) {
        let words = HandshakeWords.of(result, claim, session, context.transport)
        if let alert = alert(for: result) {
            gnutls_alert_send(session, GNUTLS_AL_FATAL, alert)
        } else {
            gnutls_alert_send_appropriate(session, result)
        }
        fail(words, body)
    }

    /// The alert that says more than the one GnuTLS has for an error.
    private func alert(for result: Int32) -> gnutls_alert_description_t? {
        if claim.isUnknown { return GNUTLS_A_UNKNOWN_PSK_IDENTITY }
        if let flaw = claim.flaw { return flaw.alert }
        // RFC 5246 §7.4.6; TLS 1.3 has another error and an alert of its own.
        return result == GNUTLS_E_NO_CERTIFICATE_FOUND ? GNUTLS_A_HANDSHAKE_FAILURE : nil
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
