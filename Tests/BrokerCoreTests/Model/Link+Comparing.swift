import BrokerTestSupport
import MQTTCodec
import NIOCore

extension Link {
    /// Takes what the broker has sent, and holds it against what the model says is due.
    ///
    /// - Throws: the first difference.
    func compare(_ model: ModelBroker, _ record: (String) -> Void) throws {
        guard !connection.isOver else { return }
        let session = model.session(connection.client)
        if client.unreadBytes > 0 {
            for packet in try client.packets() {
                record(packet.words)
                guard connection.isReadable else { throw ModelMismatch("\(packet.words) to a full connection") }
                do {
                    try take(packet, model, session)
                } catch {
                    throw ModelMismatch("\(packet.words): \(error)")
                }
            }
        }
        guard client.isClosed == connection.isClosed else {
            throw ModelMismatch("its connection is\(client.isClosed ? "" : " not") closed")
        }
        guard connection.isReadable else { return }
        if let missing = connection.answers.first { throw ModelMismatch("no \(missing)") }
        try connection.atMostOnce.finish(smallOnly: connection.takesSmallOnly)
        if !connection.isClosed, let session { try finish(session) }
    }

    /// All has arrived that can: the client has its fill, or there is nothing left for it.
    private func finish(_ session: ModelSession) throws {
        session.dropTooLarge()
        guard session.sentAhead == 0 else { throw ModelMismatch("\(session.sentAhead) messages are not sent") }
        if session.unsentCount > 0, session.quota > 0 { throw ModelMismatch("a message is not sent again") }
        guard session.mustSend else { return connection.takesSmallOnly ? session.owed.mayDropLarge() : () }
        try session.queue.finish(smallOnly: connection.takesSmallOnly)
        try session.owed.finish(smallOnly: connection.takesSmallOnly)
    }

    private func take(_ packet: Packet, _ model: ModelBroker, _ session: ModelSession?) throws {
        guard case .publish(let publish) = packet else {
            guard let due = connection.answers.first else { throw ModelMismatch("no answer is due") }
            guard due.allows(packet) else { throw ModelMismatch("due is \(due)") }
            connection.answers.removeFirst()
            return
        }
        let topic = try topic(publish)
        guard publish.qos != .atMostOnce else {
            if session?.owed.take({ isIt($0, publish, topic, at: model.now) }) != nil { return }
            _ = try connection.atMostOnce.take(smallOnly: connection.takesSmallOnly) {
                isIt($0, publish, topic, at: $0.sentAt ?? model.now)
            }
            return
        }
        guard let session, let id = publish.packetID else {
            // What a session had sent just before it ended went with it.
            guard connection.isClosed else { throw ModelMismatch("there is no session") }
            return
        }
        session.dropTooLarge()
        guard session.quota > 0 || connection.isClosed else { throw ModelMismatch("above Receive Maximum") }
        if publish.dup {
            try takeAgain(publish, id, topic, model, session)
        } else {
            try takeFirst(publish, id, topic, model, session)
        }
    }

    /// A message is sent again, in the order of the first time [MQTT-4.4.0-1], [MQTT-4.6.0-1].
    private func takeAgain(
        _ publish: Publish,
        _ id: PacketID,
        _ topic: TopicName,
        _ model: ModelBroker,
        _ session: ModelSession
    ) throws {
        guard let place = session.inflight.firstIndex(where: { !$0.usesQuota && !$0.isReleased }) else {
            throw ModelMismatch("nothing is to be sent again")
        }
        let entry = session.inflight[place]
        guard entry.packetID == id, isIt(entry.copy, publish, topic, at: model.now) else {
            throw ModelMismatch("to be sent again is \(entry.copy.message.text.brief) under \(entry.packetID)")
        }
        session.inflight[place].usesQuota = true
    }

    private func takeFirst(
        _ publish: Publish,
        _ id: PacketID,
        _ topic: TopicName,
        _ model: ModelBroker,
        _ session: ModelSession
    ) throws {
        guard session.unsentCount == 0 else { throw ModelMismatch("it comes before what is to be sent again") }
        // [MQTT-2.2.1-3]
        guard !session.inflight.contains(where: { $0.packetID == id }) else {
            throw ModelMismatch("its identifier is in use")
        }
        let copy: Copy
        do {
            copy = try session.queue.take(smallOnly: connection.takesSmallOnly) {
                isIt($0, publish, topic, at: model.now)
            }
        } catch {
            guard let owed = session.owed.take({ isIt($0, publish, topic, at: model.now) }) else { throw error }
            return session.inflight.append(.init(packetID: id, copy: owed))
        }
        session.inflight.append(.init(packetID: id, copy: copy))
        if session.sentAhead > 0 { session.sentAhead -= 1 }
    }

    private func topic(_ publish: Publish) throws -> TopicName {
        let alias = publish.properties.topicAlias
        // [MQTT-3.1.2-26]
        if let alias, alias > connection.topicAliasMaximum { throw ModelMismatch("above Topic Alias Maximum") }
        if let alias, let topic = publish.topic { topicAliases[alias] = topic }
        guard let topic = publish.topic ?? alias.flatMap({ topicAliases[$0] }) else {
            throw ModelMismatch("its Topic Alias is unknown")
        }
        return topic
    }

    /// Whether a PUBLISH is that copy.
    private func isIt(_ copy: Copy, _ publish: Publish, _ topic: TopicName, at sentAt: Int64) -> Bool {
        guard copy.qos == publish.qos, copy.message.text == publish.text, copy.message.topic == topic,
            copy.retain.contains(publish.retain)
        else { return false }
        guard connection.version == .v5 else { return true }
        let properties = publish.properties
        return properties.contentType == copy.message.contentType
            && properties.subscriptionIdentifiers.sorted() == copy.identifiers
            && isRemaining(properties.messageExpiryInterval, copy.message.expiresAt, at: sentAt)
    }

    /// Whether so many seconds are left, rounded in either direction [MQTT-3.3.2-6].
    private func isRemaining(_ interval: UInt32?, _ expiresAt: Int64?, at sentAt: Int64) -> Bool {
        guard let expiresAt else { return interval == nil }
        guard let interval else { return false }
        let left = max(0, expiresAt - sentAt)
        return (left / 1_000...(left + 999) / 1_000).contains(Int64(interval))
    }
}

extension Packet {
    /// For the transcript.
    fileprivate var words: String {
        switch self {
        case .publish(let publish):
            var words = ["PUBLISH"]
            words.append(publish.topic?.string ?? "alias \(publish.properties.topicAlias ?? 0)")
            words.append("\(publish.text.brief) QoS \(publish.qos.rawValue)")
            if let packetID = publish.packetID { words.append("id \(packetID)") }
            if publish.dup { words.append("DUP") }
            if publish.retain { words.append("RETAIN") }
            let identifiers = publish.properties.subscriptionIdentifiers
            if !identifiers.isEmpty { words.append("identifiers \(identifiers)") }
            if let expiry = publish.properties.messageExpiryInterval {
                words.append("Message Expiry Interval \(expiry)")
            }
            return words.joined(separator: " ")
        case .puback(let ack), .pubrec(let ack), .pubrel(let ack), .pubcomp(let ack):
            return "\(type) id \(ack.packetID) \(ack.reasonCode)"
        case .connack(let connack):
            return "CONNACK \(connack.reasonCode)\(connack.sessionPresent ? " session present" : "")"
        case .suback(let suback): return "SUBACK \(suback.reasonCodes)"
        case .unsuback(let unsuback): return "UNSUBACK \(unsuback.reasonCodes)"
        case .disconnect(let disconnect): return "DISCONNECT \(disconnect.reasonCode)"
        default: return "\(type)"
        }
    }
}

extension String {
    /// A message's text for the transcript.
    var brief: String { isEmpty ? "empty" : prefix { $0 != "." } + (last == "." ? " large" : "") }
}
