import MQTTCodec
import NIOCore

/// A PUBLISH while the core routes it.
///
/// Its topic and payload are passed beside it, as borrowed bytes, until a queue, window or sink keeps them.
struct Publication {
    let qos: QoS
    let retain: Bool
    let properties: MessageProperties?
    let expiresAt: NIODeadline
    let publisher: PublisherID
    /// The number under which it is stored; `.none` until then.
    var number = MessageNumber.none
    /// A copy of the message in memory of its own, once a recipient needed one.
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

    /// The approximate bytes that each subscriber is sent.
    func wireSize(_ topic: RawSpan, _ payload: RawSpan) -> Int {
        topic.byteCount + payload.byteCount + (properties?.values.cost ?? 0)
    }

    /// Whether Payload Format Indicator says UTF-8 and the payload is not UTF-8.
    func isMislabelled(_ payload: RawSpan) -> Bool {
        properties?.values.payloadFormatIndicator == true && !payload.isUTF8
    }

    /// The properties for MQTT 5 subscribers; nil when there are none.
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
    /// Seconds from `now` until this time as a Message Expiry Interval, rounded up; nil when it never comes
    /// [MQTT-3.3.2-6].
    func remainingSeconds(at now: NIODeadline) -> UInt32? {
        guard self != .distantFuture else { return nil }
        let left = (self - now).nanoseconds
        return left <= 0 ? 0 : UInt32(clamping: (left + 999_999_999) / 1_000_000_000)
    }
}
