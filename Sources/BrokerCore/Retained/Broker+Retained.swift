package import MQTTCodec
import NIOCore

extension Broker {
    /// Stores, replaces or clears the retained message of a topic [MQTT-3.3.1-5], [MQTT-3.3.1-6].
    ///
    /// - Parameter holder: the holder whose shares the message uses.
    func retain(
        _ publication: inout Publication,
        topic: RawSpan,
        payload: RawSpan,
        for holder: Holder
    ) -> ReasonCode {
        guard limits.retainAvailable else { return .retainNotSupported }
        guard !payload.isEmpty else {
            if forgetRetained(topic) { journal?.append(.removeRetained(TopicName(validated: topic))) }
            return .success
        }
        guard topic.levelCount <= limits.topicLevels else { return .topicNameInvalid }
        let message = publication.stored(topic, payload)
        guard makeRoomForRetained(message, topic, holder) else {
            statistics.retainedRefused &+= 1
            return .quotaExceeded
        }
        keepRetained(message, topic, for: holder)
        journal?.append(.retained(message))
        scheduleRetainedExpiry()
        return .success
    }

    /// Whether a message may be retained; expired messages make room.
    ///
    /// The search for them may be long; then there is room only a moment later.
    private func makeRoomForRetained(_ message: Message, _ topic: RawSpan, _ holder: Holder) -> Bool {
        if hasRoomForRetained(message, topic, holder) { return true }
        if retained.messages.earliestExpiry <= now { removeExpiredRetained() }
        return hasRoomForRetained(message, topic, holder)
    }

    private func hasRoomForRetained(_ message: Message, _ topic: RawSpan, _ holder: Holder) -> Bool {
        let isNew = retained.messages.message(of: topic) == nil
        let more = retained.messages.bytes(with: message.cost, at: topic) - retained.messages.bytes
        return (!isNew || accounts.retainedMessages.refusal(for: holder) == nil)
            && (more <= 0 || accounts.retainedBytes.refusal(of: more, for: holder) == nil)
    }

    func keepRetained(_ message: Message, _ topic: RawSpan, for holder: Holder) {
        let former = retained.messages.message(of: topic)
        // Topic levels are charged to the holder of the topic's message, at their cost when they were made.
        let levels =
            former == nil
            ? retained.messages.missingLevels(of: topic) : retained.messages.charge(of: topic)?.levels ?? 0
        let charge = RetainedCharge(
            holder: holder,
            bytes: message.cost + RetainedCharge.cost + levels,
            levels: levels
        )
        let formerCharge = retained.messages.set(message, topic: topic, charge: holder.isNobody ? nil : charge)
        count(retained: former == nil ? 1 : 0, giving: formerCharge, charge)
    }

    /// Removes a topic's message.
    ///
    /// - Returns: whether there was a message.
    func forgetRetained(_ topic: RawSpan) -> Bool {
        let removed = retained.messages.remove(topic)
        if removed.wasThere { count(retained: -1, giving: removed.charge, nil) }
        return removed.wasThere
    }

    /// Counts a retained message that was added, removed or replaced; the total bytes are those of the table.
    private func count(retained more: Int, giving former: RetainedCharge?, _ charge: RetainedCharge?) {
        accounts.retainedMessages.addToTotal(more)
        accounts.retainedBytes.addToTotal(retained.messages.bytes - accounts.retainedBytes.used)
        if let former {
            accounts.retainedMessages.addToShares(-1, of: former.holder)
            accounts.retainedBytes.addToShares(-former.bytes, of: former.holder)
        }
        if let charge {
            accounts.retainedMessages.addToShares(1, of: charge.holder)
            accounts.retainedBytes.addToShares(charge.bytes, of: charge.holder)
        }
    }

    /// The retained message of a topic, unless it has expired or the client may not read it.
    ///
    /// - Returns: the message, nil when there is none, or the reason why the client can't read it.
    package func retainedMessage(
        of topic: TopicName,
        for connection: VirtualConnection
    ) -> Result<Message?, RequestRefused> {
        guard let session = connection.session else { return .failure(RequestRefused(reasonCode: .notAuthorized)) }
        if let authorizer = access.authorizer, !authorizer.mayReceive(topic.string, client: session.identity) {
            noteRefusal(.read, topic.string, of: session, .notAuthorized)
            return .failure(RequestRefused(reasonCode: .notAuthorized))
        }
        return .success(currentRetained(topic.string.utf8Span.span.bytes))
    }

    /// Some retained messages that the client may read, in no order, for a listing.
    ///
    /// - Parameter limit: messages that are examined, whether the client may read them or not.
    package func someRetained(_ limit: Int, for connection: VirtualConnection) -> [Message] {
        guard let session = connection.session else { return [] }
        return retained.messages.some(limit).filter { message in
            message.expiresAt > now
                && access.authorizer?.mayReceive(message.topic.string, client: session.identity) ?? true
        }
    }

    /// Whether a topic has a retained message that has not expired; true as well for a topic that the client may not
    /// read.
    ///
    /// It is for a client that has not asked for the message. It is no refusal and makes no log event.
    package func mayKnowRetained(_ topic: TopicName, for connection: VirtualConnection) -> Bool {
        guard let session = connection.session,
            access.authorizer?.mayReceive(topic.string, client: session.identity) ?? true
        else { return true }
        return isRetained(topic)
    }

    /// Whether a topic has a retained message that has not expired.
    package func isRetained(_ topic: TopicName) -> Bool {
        currentRetained(topic.string.utf8Span.span.bytes) != nil
    }

    private func currentRetained(_ topic: RawSpan) -> Message? {
        guard let message = retained.messages.message(of: topic) else { return retained.system.message(of: topic) }
        guard message.expiresAt > now else {
            removeRetained(message)
            return nil
        }
        return message
    }
}

/// The core's refusal of an adapter's request.
package struct RequestRefused: Error, Sendable, Equatable {
    /// The MQTT Reason Code, to be translated into the client's own protocol.
    package let reasonCode: ReasonCode
}

extension RawSpan {
    /// Topic levels: the number of slashes and one.
    var levelCount: Int {
        var count = 1
        for offset in byteOffsets where unsafeLoad(fromByteOffset: offset, as: UInt8.self) == UInt8(ascii: "/") {
            count += 1
        }
        return count
    }
}
