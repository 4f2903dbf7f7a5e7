package import MQTTCodec
package import NIOCore

/// An Application Message: immutable, shared by every queue, window and adapter that holds it.
///
/// Topic Name and payload lie in one allocation behind the header, so that a message queued for a thousand sessions
/// costs one block of memory and one reference count.
package struct Message: @unchecked Sendable {
    // Sendable by construction: the storage is written once, in `init`, before anybody else can see it.
    private let storage: ManagedBuffer<Header, UInt8>

    struct Header {
        var topicLength: Int32
        var payloadLength: Int32
        var qos: QoS
        var retain: Bool
        var publisher: PublisherID
        var expiresAt: NIODeadline
        var properties: MessageProperties?
        var cost: Int
    }

    /// Copies topic and payload into a message of its own.
    ///
    /// - Parameters:
    ///   - topic: the Topic Name's UTF-8, already valid.
    ///   - payload: the Application Message's payload.
    ///   - qos: the QoS it was published at.
    ///   - retain: the RETAIN flag it was published with.
    ///   - properties: the MQTT 5 properties that are forwarded unaltered; nil when there are none.
    ///   - expiresAt: when its Message Expiry Interval ends; `.distantFuture` without one.
    ///   - publisher: the client that published it, for No Local.
    package init(
        topic: RawSpan,
        payload: RawSpan,
        qos: QoS,
        retain: Bool = false,
        properties: MessageProperties? = nil,
        expiresAt: NIODeadline = .distantFuture,
        publisher: PublisherID = .none
    ) {
        let topicLength = topic.byteCount
        let payloadLength = payload.byteCount
        storage = ManagedBuffer<Header, UInt8>.create(minimumCapacity: topicLength + payloadLength) { _ in
            Header(
                topicLength: Int32(topicLength),
                payloadLength: Int32(payloadLength),
                qos: qos,
                retain: retain,
                publisher: publisher,
                expiresAt: expiresAt,
                properties: properties,
                cost: Message.cost(topic: topicLength, payload: payloadLength, properties: properties?.values)
            )
        }
        storage.withUnsafeMutablePointerToElements { start in
            let bytes = UnsafeMutableRawPointer(start)
            topic.withUnsafeBytes { source in
                if let base = source.baseAddress { bytes.copyMemory(from: base, byteCount: topicLength) }
            }
            payload.withUnsafeBytes { source in
                if let base = source.baseAddress {
                    (bytes + topicLength).copyMemory(from: base, byteCount: payloadLength)
                }
            }
        }
    }

    /// Makes a message from an adapter's values.
    package init(
        topic: TopicName,
        payload: ByteBuffer,
        qos: QoS,
        retain: Bool = false,
        properties: MessageProperties? = nil,
        expiresAt: NIODeadline = .distantFuture,
        publisher: PublisherID = .none
    ) {
        self.init(
            topic: topic.string.utf8Span.span.bytes,
            payload: payload.readableBytesSpan,
            qos: qos,
            retain: retain,
            properties: properties,
            expiresAt: expiresAt,
            publisher: publisher
        )
    }

    /// Identifies it among all messages in memory.
    package var identity: ObjectIdentifier { ObjectIdentifier(storage) }
    /// The QoS it was published at.
    package var qos: QoS { storage.header.qos }
    /// Whether it was published with RETAIN.
    package var retain: Bool { storage.header.retain }
    /// The client that published it.
    package var publisher: PublisherID { storage.header.publisher }
    /// When it expires; `.distantFuture` is never.
    package var expiresAt: NIODeadline { storage.header.expiresAt }
    /// The MQTT 5 properties that are forwarded with it.
    package var properties: MessageProperties? { storage.header.properties }
    /// Bytes of payload.
    package var payloadLength: Int { Int(storage.header.payloadLength) }
    /// Bytes in memory, which count against limits: topic, payload, properties, and their overhead.
    package var cost: Int { storage.header.cost }

    /// The Topic Name.
    package var topic: TopicName { withBytes { topic, _ in TopicName(validated: topic) } }

    /// A copy of the payload.
    package var payload: ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: payloadLength)
        withBytes { _, payload in
            _ = payload.withUnsafeBytes { buffer.writeBytes($0) }
        }
        return buffer
    }

    /// Lends topic and payload without copying them.
    @inline(__always)
    package func withBytes<Result>(_ body: (_ topic: RawSpan, _ payload: RawSpan) -> Result) -> Result {
        storage.withUnsafeMutablePointers { header, elements in
            let topicLength = Int(header.pointee.topicLength)
            let bytes = UnsafeRawBufferPointer(
                start: elements,
                count: topicLength + Int(header.pointee.payloadLength)
            )
            let span = RawSpan(_unsafeBytes: bytes)
            return body(span.extracting(first: topicLength), span.extracting(droppingFirst: topicLength))
        }
    }

    /// Seconds left of the Message Expiry Interval, rounded up, or nil when it never expires [MQTT-3.3.2-6].
    package func remainingExpiryInterval(at now: NIODeadline) -> UInt32? {
        expiresAt.remainingSeconds(at: now)
    }
}

/// The MQTT 5 properties that a server forwards unaltered with a message (MQTT 5.0 §3.3.2.3).
///
/// Topic Alias, Message Expiry Interval and Subscription Identifiers are not among them: the first two belong to one
/// hop, the last to one subscription.
package final class MessageProperties: Sendable {
    /// The forwarded part of a PUBLISH's properties.
    package let values: PublishProperties

    private init(_ values: PublishProperties) { self.values = values }

    /// The properties that are forwarded; nil when there are none.
    package static func forwarded(from properties: PublishProperties) -> MessageProperties? {
        var values = properties
        values.topicAlias = nil
        values.messageExpiryInterval = nil
        values.subscriptionIdentifiers = []
        return values.isEmpty ? nil : MessageProperties(values)
    }
}

/// The core's own name for a session, never reused within a process; it is faster to compare than a Client Identifier.
package struct SessionNumber: Hashable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// No session: the client was refused.
    package static let none = SessionNumber(rawValue: 0)
}

/// Stands for the Client Identifier of a publisher, for No Local [MQTT-3.8.3-3]: the same in all sessions of the
/// client, and for messages that were retained before the broker's start.
package struct PublisherID: Hashable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// A hash that never changes (FNV-1a, 64 bits), since it is stored.
    ///
    /// A collision gives an attacker no advantage: it can only keep the attacker's own messages from others.
    package init(clientID: String) {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in clientID.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        rawValue = hash
    }

    /// No client: the broker itself published the message.
    package static let none = PublisherID(rawValue: 0)
}
