import MQTTCodec

/// An Application Message as the model knows it.
struct ModelMessage {
    let topic: TopicName
    let text: String
    let qos: QoS
    let retain: Bool
    let contentType: String?
    var isLarge = false
    /// Milliseconds; nil is never.
    let expiresAt: Int64?
    /// The client that published it.
    let publisher: Int
}

/// A message due to one session; one of several that may be due instead, when it comes by a shared subscription.
final class Copy {
    let message: ModelMessage
    let qos: QoS
    /// What RETAIN may be.
    let retain: [Bool]
    /// In ascending order.
    let identifiers: [UInt32]
    let share: Share?
    /// When a copy at QoS 0 was sent, even if the network connection did not take it yet.
    var sentAt: Int64?
    /// Its turn may have come on a connection that it was too large for, or that was about to end.
    var mayBeDropped = false
    private(set) var isGone = false

    init(_ message: ModelMessage, qos: QoS, retain: [Bool], identifiers: [UInt32], share: Share? = nil) {
        self.message = message
        self.qos = qos
        self.retain = retain
        self.identifiers = identifiers.sorted()
        self.share = share
    }

    /// It does not come any more: another member has the message.
    var isVoid: Bool { isGone || (share.map { $0.isTaken && !$0.isTaken(by: self) } ?? false) }

    /// It must come in the end.
    var isSure: Bool { !isVoid && !mayBeDropped && (share?.isSettled ?? true) }

    func take() { share?.take(self) }

    /// Its turn is over and it was not sent: it is dropped when it is too large [MQTT-3.1.2-25], else this member does not
    /// have it, unless it was dropped before.
    func passOver(_ smallOnly: Bool) {
        if mayBeDropped || (smallOnly && message.isLarge) { lose() } else { ruleOut() }
    }

    /// This member does not have it.
    func ruleOut() {
        guard !isVoid else { return }
        isGone = true
        share?.ruleOut()
    }

    /// If this member had it, it has it no more.
    func lose() {
        guard !isVoid else { return }
        share?.mayBeLost = true
        ruleOut()
    }

    func isExpired(at now: Int64) -> Bool { message.expiresAt.map { $0 <= now } ?? false }
}

/// One message on its way to one member of a shared subscription (MQTT 5.0 §4.8.2): which one is up to the broker, and
/// may be seen only later.
final class Share {
    let filter: String
    let text: String
    private var left = 0
    /// A member that may have had it is gone, or the message has expired.
    var mayBeLost = false
    private var taker: ObjectIdentifier?

    init(filter: String, text: String) {
        self.filter = filter
        self.text = text
    }

    var isTaken: Bool { taker != nil }
    func isTaken(by copy: Copy) -> Bool { taker == ObjectIdentifier(copy) }
    /// Only one member can have it.
    var isSettled: Bool { left == 1 && !mayBeLost }
    /// No member can have it, and nothing explains that.
    var isMissing: Bool { taker == nil && left == 0 && !mayBeLost }

    /// One more member may have it.
    func add() { left += 1 }

    func take(_ copy: Copy) { taker = ObjectIdentifier(copy) }

    func ruleOut() { left -= 1 }
}
