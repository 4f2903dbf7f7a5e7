package import MQTTCodec
import NIOCore

extension Broker {
    /// Stores, replaces or clears the retained message of a topic [MQTT-3.3.1-5], [MQTT-3.3.1-6].
    func retain(_ publication: inout Publication, topic: RawSpan, payload: RawSpan) -> ReasonCode {
        guard limits.retainAvailable else { return .retainNotSupported }
        guard !payload.isEmpty else {
            if retained.remove(topic) { journal?.append(.removeRetained(TopicName(validated: topic))) }
            return .success
        }
        guard topic.levelCount <= limits.topicLevels else { return .topicNameInvalid }
        let message = publication.stored(topic, payload)
        guard makeRoomForRetained(message, topic) else { return .quotaExceeded }
        retained.set(message, topic: topic)
        journal?.append(.retained(message))
        return .success
    }

    /// Whether a message may be retained; expired ones make room.
    ///
    /// Looking for those takes a while, so it is done once a second at most.
    private func makeRoomForRetained(_ message: Message, _ topic: RawSpan) -> Bool {
        if hasRoomForRetained(message, topic) { return true }
        guard now >= nextRetainedSweep else { return false }
        nextRetainedSweep = now + .seconds(1)
        for message in retained.expired(at: now) { removeRetained(message) }
        return hasRoomForRetained(message, topic)
    }

    private func hasRoomForRetained(_ message: Message, _ topic: RawSpan) -> Bool {
        (retained.count < limits.retainedMessages || retained.message(of: topic) != nil)
            && retained.bytes(with: message.cost, at: topic) <= limits.retainedBytes
    }

    private func removeRetained(_ message: Message) {
        message.withBytes { topic, _ in _ = retained.remove(topic) }
        journal?.append(.removeRetained(message.topic))
    }

    /// The retained message of a topic, unless it has expired or the client may not read it.
    ///
    /// - Returns: the message, nil when there is none, or why the client can't read it.
    package func retainedMessage(
        of topic: TopicName,
        for connection: VirtualConnection
    ) -> Result<Message?, RequestRefused> {
        guard let session = connection.session else { return .failure(RequestRefused(reasonCode: .notAuthorized)) }
        if let authorizer, !authorizer.mayReceive(topic.string, client: session.identity) {
            return .failure(RequestRefused(reasonCode: .notAuthorized))
        }
        return .success(currentRetained(topic.string.utf8Span.span.bytes))
    }

    /// Retained messages the client may read, in no order, for one who looks around.
    ///
    /// - Parameter limit: messages that are looked at, whether the client may read them or not.
    package func someRetained(_ limit: Int, for connection: VirtualConnection) -> [Message] {
        guard let session = connection.session else { return [] }
        return retained.some(limit).filter { message in
            message.expiresAt > now
                && authorizer?.mayReceive(message.topic.string, client: session.identity) ?? true
        }
    }

    /// Whether a topic has a retained message that has not expired.
    package func isRetained(_ topic: TopicName) -> Bool {
        currentRetained(topic.string.utf8Span.span.bytes) != nil
    }

    private func currentRetained(_ topic: RawSpan) -> Message? {
        guard let message = retained.message(of: topic) else { return systemRetained.message(of: topic) }
        guard message.expiresAt > now else {
            removeRetained(message)
            return nil
        }
        return message
    }

    /// Sends the retained messages that match a new subscription [MQTT-3.3.1-9].
    func deliverRetained(for subscription: Subscription, _ options: SubscriptionOptions) {
        let session = subscription.session
        let tree = subscription.filter.filter.utf8.starts(with: "$SYS/".utf8) ? systemRetained : retained
        tree.matching(subscription.filter) { message in
            guard message.expiresAt > now else { return }
            if options.noLocal, message.publisher == session.publisherID { return }
            if let authorizer, !authorizer.mayReceive(message.topic.string, client: session.identity) { return }
            var number = MessageNumber.none
            deliver(
                message,
                qos: min(options.qos, message.qos),
                retain: true,
                identifiers: subscription.identifierList,
                storedAs: &number,
                to: session
            )
        }
    }
}

/// Why the core refused what an adapter asked for.
package struct RequestRefused: Error, Sendable, Equatable {
    /// The MQTT Reason Code, to be translated into the client's own protocol.
    package let reasonCode: ReasonCode
}

extension RawSpan {
    /// Topic levels: slashes and one.
    var levelCount: Int {
        var count = 1
        for offset in byteOffsets where unsafeLoad(fromByteOffset: offset, as: UInt8.self) == UInt8(ascii: "/") {
            count += 1
        }
        return count
    }
}
