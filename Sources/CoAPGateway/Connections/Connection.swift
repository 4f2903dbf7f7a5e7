package import NIOCore

/// One side of a conversation on a connection, ours, without the socket: bytes come in, messages go out as bytes, time is a
/// parameter (RFC 8323 §3).
package final class Connection {
    /// What a connection may have.
    package struct Bounds: Sendable {
        /// Bytes of the largest message from the peer.
        package var largestMessage: Int
        /// Requests of the peer that are not answered yet; then nothing more is read.
        package var unanswered = 1_024
        /// Bytes that wait to be sent; then nothing more is read, and notifications wait.
        package var output = 65_536
        /// How long the peer may take to say its first word, a handshake included.
        package var greeting = TimeAmount.seconds(10)
        /// How long a message may take, and how many bytes of it give it another second.
        package var message = TimeAmount.seconds(30)
        package var messageRate = 16_384
        /// How long a Pong or an answer is waited for: MAX_TRANSMIT_WAIT (RFC 7252 §4.8.2), as long as a datagram peer has.
        package var patience = TimeAmount.seconds(93)
        /// How long a connection without observations stays that says nothing; one with observations is asked for a Pong.
        package var idle = TimeAmount.seconds(300)

        package init(largestMessage: Int) { self.largestMessage = largestMessage }
    }

    package enum Stage: Sendable {
        /// The peer has not said yet what it can (RFC 8323 §3.3).
        case greeting
        case open
        /// The peer wants the end: nothing more is read, what it has asked for is answered.
        case leaving
        /// Everything has been sent.
        case over
    }

    package let id: EndpointID
    private var phase: (stage: Stage, since: NIODeadline)
    /// Bytes of the largest message the peer takes.
    package private(set) var largestMessage = SignallingMessage.baseSize
    /// Why the peer is no CoAP endpoint, as far as can be seen; nil while it may be one.
    package private(set) var flaw: String?
    /// Nobody hears what is said.
    package private(set) var isBroken = false
    /// How often it is held.
    package var holds = 0

    private let bounds: Bounds
    private var framing = StreamFraming()
    private var output = StreamOutput()
    private var flow = ConnectionFlow()
    private var heard: Heard
    /// Somebody was told that there is no room, and is to be told when there is.
    private var owesRoom = false

    private struct Heard {
        /// When the last whole message came.
        var at: NIODeadline
        /// When the message began that has not ended; nil while there is none, or it waits for us.
        var messageSince: NIODeadline?
    }

    package init(id: EndpointID, bounds: Bounds, now: NIODeadline) {
        self.id = id
        self.bounds = bounds
        phase = (.greeting, now)
        heard = Heard(at: now)
        output.append(Signal.settings(largestMessage: bounds.largestMessage))
    }

    package var stage: Stage { phase.stage }
    /// When that began.
    package var stageSince: NIODeadline { phase.since }

    // MARK: In

    /// Whether more may be read.
    package var isReading: Bool {
        (stage == .greeting || stage == .open) && output.bytes < bounds.output && flow.unanswered < bounds.unanswered
    }

    /// Whether `goOn` has something to do.
    package var canGoOn: Bool { isReading && framing.hasNext(largest: largestOfPeer) }

    /// Bytes of memory of what has come and what is to go.
    package var footprint: Int { framing.footprint + output.bytes }

    /// Before a peer has shown that it speaks CoAP, it gets no room.
    private var largestOfPeer: Int { stage == .greeting ? SignallingMessage.baseSize : bounds.largestMessage }

    /// Takes in what has come; `goOn` reads it.
    package func append(_ bytes: UnsafeRawBufferPointer) {
        if stage == .greeting || stage == .open { framing.append(bytes) }
    }

    /// Reads what there is, as far as it may.
    ///
    /// - Parameter requests: takes the requests; each holds the connection until its event has been dealt with.
    /// - Parameter confirmed: takes whose Pongs have come.
    package func goOn(now: NIODeadline, requests: (CoAPRequest) -> Void, confirmed: (ConfirmableID) -> Void) {
        var isNewMessage = heard.messageSince == nil
        reading: while isReading {
            switch framing.next(largest: largestOfPeer) {
            case .incomplete: break reading
            case .message:
                isNewMessage = true
                heard.at = now
                framing.withMessage { take($0, now, requests, confirmed) }
            case .tooLarge(let code, let token):
                isNewMessage = true
                tookTooLarge(code, token, now)
            case .malformed: abort("a token longer than 8 bytes", now: now)
            }
        }
        guard stage == .greeting || stage == .open else {
            framing = StreamFraming()
            heard.messageSince = nil
            return
        }
        framing.compact()
        if !framing.hasPart || !isReading { heard.messageSince = nil } else if isNewMessage { heard.messageSince = now }
    }

    private func take(
        _ bytes: UnsafeRawBufferPointer,
        _ now: NIODeadline,
        _ requests: (CoAPRequest) -> Void,
        _ confirmed: (ConfirmableID) -> Void
    ) {
        // A handshake record of TLS 1.0 and later (RFC 8446 §5.1).
        if stage == .greeting, bytes.count > 1, bytes[0] == 22, bytes[1] == 3 {
            return abort("the client speaks TLS, which this listener does not", now: now)
        }
        guard let message = WireMessage(frame: bytes) else { return abort("a message that is none", now: now) }
        if message.code.rawValue == 0 {
            // Keeps the connection alive, and says nothing (RFC 8323 §3.4).
            if bytes.count > 2 { abort("an empty message that is not empty", now: now) }
            return
        }
        if message.code.responseClass == 7 { return take(signal: message, now, confirmed) }
        guard stage != .greeting else { return abort("the first message is to be a CSM", now: now) }
        switch message.code.responseClass {
        case 0:
            var request = message.request().request
            // Connections have no Message IDs: this one says what its answer confirms.
            request.messageID = flow.tookRequest()
            holds += 1
            requests(request)
        // Nothing was asked.
        case 2, 4, 5: break
        default: abort("\(message.code) is no code", now: now)
        }
    }

    private func take(signal message: borrowing WireMessage, _ now: NIODeadline, _ confirmed: (ConfirmableID) -> Void) {
        let signal: SignallingMessage
        do throws(SignallingMessage.Unacceptable) {
            signal = try SignallingMessage(message)
        } catch {
            return abort(error, now: now)
        }
        switch signal {
        case .settings(let size):
            if let size { largestMessage = size }
            if stage == .greeting { enter(.open, now) }
        case .abort: enter(.over, now)
        case _ where stage == .greeting: abort("the first message is to be a CSM", now: now)
        case .ping(custody: false): output.append(Signal.pong(custody: false), message.token)
        case .ping(custody: true):
            // Of too many that wait, this one is told less, but at once.
            guard let tokens = flow.tookPing(message.token) else {
                return output.append(Signal.pong(custody: false), message.token)
            }
            for token in tokens { output.append(Signal.pong(custody: true), token) }
        case .pong: if let id = flow.tookPong() { confirmed(id) }
        case .release: leave(now: now)
        case .unknown: break
        }
    }

    private func tookTooLarge(_ code: CoAPCode, _ token: Token, _ now: NIODeadline) {
        guard stage == .open, code.responseClass == 0, code.rawValue != 0 else {
            return abort("a message of more than \(largestOfPeer) bytes", now: now)
        }
        output.append(CoAPFailure.tooLarge(bounds.largestMessage).response, token)
    }

    /// The peer sends nothing more, and may want answers all the same; or wants the end (RFC 8323 §5.5).
    package func leave(now: NIODeadline) {
        switch stage {
        case .greeting: enter(.over, now)
        case .open: enter(flow.unanswered == 0 ? .over : .leaving, now)
        case .leaving, .over: break
        }
    }

    private func enter(_ stage: Stage, _ now: NIODeadline) {
        phase = (stage, now)
    }

    // MARK: Out

    /// Whether nothing waits to be sent.
    package var hasSaidAll: Bool { output.isEmpty }

    /// Whether there is room for what nobody has asked for; when there is not, `owesRoom` is remembered.
    package func hasRoom() -> Bool {
        if output.bytes < bounds.output { return true }
        owesRoom = true
        return false
    }

    /// Whether it is time to say that there is room again; says so once.
    package func takesRoomBack() -> Bool {
        guard owesRoom, output.bytes < bounds.output else { return false }
        owesRoom = false
        return true
    }

    /// Answers a request of that section; nil says nothing.
    package func answer(_ section: UInt16, _ token: Token, _ response: CoAPResponse?, now: NIODeadline) {
        guard stage != .over else { return }
        if let response { output.append(response, token) }
        for token in flow.answered(section) { output.append(Signal.pong(custody: true), token) }
        if stage == .leaving, flow.unanswered == 0 { enter(.over, now) }
    }

    /// Sends a notification, or the final one of an observation.
    ///
    /// - Returns: false when there is nobody any more.
    package func send(_ response: CoAPResponse, _ token: Token) -> Bool {
        guard stage == .open || stage == .leaving else { return false }
        output.append(response, token)
        return true
    }

    /// Asks for a Pong.
    package func ping(_ id: ConfirmableID?, now: NIODeadline) {
        guard stage == .open || stage == .leaving else { return }
        output.append(Signal.ping)
        flow.sentPing(id, now: now)
    }

    /// Asks the peer to end the connection, and does so ourselves (RFC 8323 §5.5).
    package func release(_ words: String, now: NIODeadline) {
        guard stage == .greeting || stage == .open || stage == .leaving else { return }
        output.append(Signal.release(words))
        enter(.over, now)
    }

    /// Ends the connection; what waits is not sent any more (RFC 8323 §5.6).
    package func abort(_ words: String, now: NIODeadline) { abort(.init(words: words), now: now) }

    private func abort(_ reason: SignallingMessage.Unacceptable, now: NIODeadline) {
        guard stage != .over else { return }
        if stage == .greeting { flaw = reason.words }
        output.removeAll()
        output.append(Signal.abort(reason))
        enter(.over, now)
    }

    /// The network has failed: nobody hears anything any more.
    package func broke(now: NIODeadline) {
        isBroken = true
        output.removeAll()
        framing = StreamFraming()
        if stage != .over { enter(.over, now) }
    }

    /// Writes what is to be sent, until `buffer` has about as many bytes as may wait.
    package func fill(_ buffer: inout ByteBuffer) { output.fill(&buffer, upTo: bounds.output, largest: largestMessage) }

    // MARK: Time

    /// Ends what takes too long.
    package func expire(now: NIODeadline) {
        switch stage {
        case .greeting where stageSince + bounds.greeting <= now: abort("no CSM has come in time", now: now)
        case .leaving where stageSince + bounds.patience <= now: enter(.over, now)
        case .open: expireOpen(now)
        case .greeting, .leaving, .over: break
        }
    }

    private func expireOpen(_ now: NIODeadline) {
        // What is passed over gives no more time than what is read.
        let part = min(framing.part, bounds.largestMessage)
        if let since = heard.messageSince, since + bounds.message + .seconds(Int64(part / bounds.messageRate)) <= now {
            return abort("a message takes too long", now: now)
        }
        if let oldest = flow.oldestPing {
            if oldest + bounds.patience <= now { abort("no Pong has come", now: now) }
            return
        }
        guard heard.at + bounds.idle <= now, flow.unanswered == 0 else { return }
        if holds == 0 { release("nothing was said for long", now: now) } else { ping(nil, now: now) }
    }
}
