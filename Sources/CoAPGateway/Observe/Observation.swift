import BrokerCore
package import MQTTCodec
package import NIOCore

/// One endpoint's interest in one resource, known by its token (RFC 7641 §4.1).
final class Observation {
    /// Seconds a message without an expiry counts as fresh: a client that has heard nothing for so long may register anew
    /// (RFC 7641 §3.3.1); it is as long as a server may send nothing confirmable (RFC 7641 §4.5).
    ///
    /// For an address that is not proven it is what one byte can say: of the few it may get, the others are for messages.
    static func maxAge(isProven: Bool) -> UInt32 { isProven ? 86_400 : 255 }

    let token: Token
    let client: CoAPClient
    /// The connection its subscription is on.
    let generation: UInt32
    let registration: Exchange.Registration
    let resource: ResourceKey
    /// The one Content-Format its notifications may have; they have none unless the client asked (RFC 7641 §4.2).
    let accept: UInt16?
    /// The block the client wants large notifications cut to.
    let block2: Block?
    private(set) var sequence: ObserveSequence
    /// When a notification was last confirmed, or the registration came.
    var confirmedAt: NIODeadline
    var isEnded = false
    private var sent = SentMessageIDs()

    init(
        _ exchange: Exchange,
        _ registration: Exchange.Registration,
        client: CoAPClient,
        generation: UInt32,
        sequence: ObserveSequence,
        now: NIODeadline
    ) {
        token = exchange.request.token
        resource = ResourceKey(exchange.request)
        accept = exchange.request.accept
        block2 = exchange.request.block2
        self.client = client
        self.generation = generation
        self.registration = registration
        self.sequence = sequence
        confirmedAt = now
    }

    /// The subscription it shares.
    var identifier: UInt32 { registration.identifier }
    var filter: TopicFilter { registration.operation.filter }

    /// A notification left non-confirmably under that Message ID.
    func remember(_ messageID: UInt16) { sent.insert(messageID) }

    /// Whether one of the last notifications had that Message ID.
    func sent(_ messageID: UInt16) -> Bool { sent.messageIDs.contains(messageID) }

    /// The number of the next notification.
    func nextNumber() -> UInt32 { sequence.next() }

    private func freshness(in room: MessageRoom) -> UInt32? {
        if case .unproven = room { nil } else { Self.maxAge(isProven: true) }
    }

    /// The next notification: that message.
    ///
    /// - Throws: when it can't be expressed as the client wants it.
    func notification(of message: Message, room: MessageRoom, now: NIODeadline) throws(CoAPFailure) -> CoAPResponse {
        let representation = Representation(message)
        guard representation.isAcceptable(accept) else {
            throw CoAPFailure(.notAcceptable, "a message has another content type than the registration accepts")
        }
        var response = CoAPResponse(.content)
        response.room = room
        response.observe = nextNumber()
        response.contentFormat = accept
        response.maxAge = message.remainingExpiryInterval(at: now) ?? freshness(in: room)
        if registration.operation.topic == nil {
            response.locationPath = message.topic.locationPath(under: registration.operation.root)
        }
        try response.cut(message, wanted: block2.map { Block(number: 0, more: false, sizeExponent: $0.sizeExponent) })
        if response.block2 != nil, !response.isTight { response.eTag = representation.eTag }
        return response
    }
}

/// The Observe numbers of one observation: 24 bits, each one more than the last (RFC 7641 §3.4).
package struct ObserveSequence: Sendable, Equatable {
    static let mask: UInt32 = 0xff_ffff
    private var last: UInt32

    /// Begins at a clock's value of some 60 ticks a second, so that a new observation is ahead of one that was forgotten.
    package init(now: NIODeadline) { last = UInt32(truncatingIfNeeded: now.uptimeNanoseconds >> 24) & Self.mask }

    /// The number of the next notification.
    package mutating func next() -> UInt32 {
        last = (last &+ 1) & Self.mask
        return last
    }
}

extension TopicName {
    /// The segments of the topic's path; none when a level is too long for one.
    package func locationPath(under root: String?) -> [String] {
        let levels = string.pieces(between: UInt8(ascii: "/")).map(String.init)
        guard levels.allSatisfy({ $0.utf8.count <= 255 }) else { return [] }
        return (root.map { [$0] } ?? []) + levels
    }
}

/// The Message IDs of the latest non-confirmable notifications, in case one is answered with Reset.
private struct SentMessageIDs {
    private static let most = 16

    private(set) var messageIDs: [UInt16] = []
    private var oldest = 0

    mutating func insert(_ messageID: UInt16) {
        guard messageIDs.count == Self.most else { return messageIDs.append(messageID) }
        messageIDs[oldest] = messageID
        oldest = (oldest + 1) % Self.most
    }
}
