import MQTTCodec
import NIOCore

/// A PUBLISH on its way through the core, apart from its topic and payload, which stay borrowed bytes as long as no
/// queue, window or sink wants to keep them.
struct Publication {
    let qos: QoS
    let retain: Bool
    let properties: MessageProperties?
    let expiresAt: NIODeadline
    let publisher: PublisherID
    /// What it is stored under; `.none` as long as it is not.
    var number = MessageNumber.none
    /// The message in memory of its own, once somebody needed that.
    private(set) var message: Message?

    init(
        qos: QoS,
        retain: Bool,
        properties: MessageProperties?,
        expiresAt: NIODeadline,
        publisher: PublisherID,
        message: Message? = nil
    ) {
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.expiresAt = expiresAt
        self.publisher = publisher
        self.message = message
    }

    /// A message that an adapter or the broker itself has made.
    init(_ message: Message, publisher: PublisherID? = nil) {
        self.init(
            qos: message.qos,
            retain: message.retain,
            properties: message.properties,
            expiresAt: message.expiresAt,
            publisher: publisher ?? message.publisher,
            message: message
        )
    }

    /// The message in memory of its own, made once.
    @inline(__always)
    mutating func stored(_ topic: RawSpan, _ payload: RawSpan) -> Message {
        if let message { return message }
        let made = Message(
            topic: topic,
            payload: payload,
            qos: qos,
            retain: retain,
            properties: properties,
            expiresAt: expiresAt,
            publisher: publisher
        )
        message = made
        return made
    }

    /// Bytes that each subscriber is sent, about.
    func wireSize(_ topic: RawSpan, _ payload: RawSpan) -> Int {
        topic.byteCount + payload.byteCount + (properties?.values.cost ?? 0)
    }

    /// Whether the payload is said to be UTF-8 text and is not.
    func isMislabelled(_ payload: RawSpan) -> Bool {
        properties?.values.payloadFormatIndicator == true && !payload.isUTF8
    }

    /// The properties as MQTT 5 subscribers get them; nil when there are none.
    func wireProperties(at now: NIODeadline) -> PublishProperties? {
        guard properties != nil || expiresAt != .distantFuture else { return nil }
        var wire = properties?.values ?? PublishProperties()
        wire.messageExpiryInterval = expiresAt.remainingSeconds(at: now)
        return wire
    }
}

extension RawSpan {
    /// Whether the bytes are well-formed UTF-8.
    var isUTF8: Bool { withUnsafeBytes { String(validating: $0, as: UTF8.self) != nil } }
}

extension NIODeadline {
    /// Seconds of a Message Expiry Interval that are left until this time, rounded up; nil when it never comes
    /// [MQTT-3.3.2-6].
    func remainingSeconds(at now: NIODeadline) -> UInt32? {
        guard self != .distantFuture else { return nil }
        let left = (self - now).nanoseconds
        return left <= 0 ? 0 : UInt32(clamping: (left + 999_999_999) / 1_000_000_000)
    }
}
