import FoundationEssentials
package import JSONMessages
package import MQTTCodec
package import NIOCore

/// What a client of `sluice.json` says: one JSON object a message, whose `op` says what it is.
package enum JSONOperation: Sendable {
    case connect(JSONConnect)
    case subscribe([Subscribe.Subscription])
    case unsubscribe([String])
    case publish(PublishRequest)
    /// The message of that `id` has been taken.
    case acknowledge(EventID)
    case ping
    case disconnect(sessionExpiryInterval: UInt32?)

    private enum Name: String, Decodable {
        case connect, subscribe, unsubscribe, publish, ack, ping, disconnect
    }

    private struct Envelope: Decodable {
        let op: Name
    }

    private struct Labelled: Decodable {
        let id: JSONLabel?
    }

    private struct Topic: Decodable {
        let topic: String
        let qos: Int?
        let noLocal: Bool?
        let retainAsPublished: Bool?
        let retainHandling: Int?

        enum CodingKeys: String, CodingKey {
            case topic
            case qos
            case noLocal = "no_local"
            case retainAsPublished = "retain_as_published"
            case retainHandling = "retain_handling"
        }
    }

    private struct Topics: Decodable {
        let topics: [Topic]

        enum CodingKeys: CodingKey {
            case topics
        }

        init(from decoder: any Decoder) throws {
            var list = try decoder.container(keyedBy: CodingKeys.self).nestedUnkeyedContainer(forKey: .topics)
            var topics: [Topic] = []
            while !list.isAtEnd {
                topics.append(try list.decode(Topic.self))
                // One too many says that there are too many, and the rest need not be read.
                if let maximum = CodingUserInfoKey.maximumFilters.flatMap({ decoder.userInfo[$0] }) as? Int,
                    topics.count > maximum
                {
                    break
                }
            }
            self.topics = topics
        }
    }

    private struct Filters: Decodable {
        let topics: [String]?
        let topic: String?
    }

    private struct Acknowledgement: Decodable {
        let id: String
    }

    private struct Disconnect: Decodable {
        let sessionExpiryInterval: UInt32?

        enum CodingKeys: String, CodingKey {
            case sessionExpiryInterval = "session_expiry_interval"
        }
    }

    /// What the client calls the operation, for its answer.
    package static func label(of text: ByteBuffer) -> JSONLabel? {
        (try? JSON.decode(Labelled.self, from: text))?.id
    }

    /// Reads one message.
    ///
    /// - Parameter maximumFilters: topics that one of them may subscribe to, or unsubscribe from.
    /// - Throws: what is wrong with it.
    package static func read(_ text: ByteBuffer, maximumFilters: Int = .max) throws(Problem) -> JSONOperation {
        switch try decode(Envelope.self, text).op {
        case .connect: return .connect(try decode(JSONConnect.self, text))
        case .subscribe: return .subscribe(try subscriptions(text, maximumFilters))
        case .unsubscribe:
            let filters = try decode(Filters.self, text)
            let all = (filters.topics ?? []) + [filters.topic].compactMap(\.self)
            guard !all.isEmpty else { throw .unprocessable("topic is missing", .protocolError) }
            guard all.count <= maximumFilters else { throw .tooManyFilters(maximumFilters) }
            return .unsubscribe(all)
        case .publish: return .publish(try decode(PublishEnvelope.self, text).request())
        case .ack:
            guard let id = EventID(try decode(Acknowledgement.self, text).id) else {
                throw .unprocessable("id is no message's", .packetIdentifierNotFound)
            }
            return .acknowledge(id)
        case .ping: return .ping
        case .disconnect:
            return .disconnect(sessionExpiryInterval: try decode(Disconnect.self, text).sessionExpiryInterval)
        }
    }

    static func decode<Value: Decodable>(_ type: Value.Type, _ text: ByteBuffer) throws(Problem) -> Value {
        do {
            return try JSON.decode(type, from: text)
        } catch {
            throw Problem(decoding: error)
        }
    }

    private static func subscriptions(
        _ text: ByteBuffer,
        _ maximumFilters: Int
    ) throws(Problem) -> [Subscribe.Subscription] {
        var topics: [Topic]
        if let many = try? JSON.decode(Topics.self, from: text, .maximumFilters, maximumFilters) {
            topics = many.topics
        } else {
            topics = [try decode(Topic.self, text)]
        }
        guard topics.count <= maximumFilters else { throw .tooManyFilters(maximumFilters) }
        guard !topics.isEmpty else { throw .unprocessable("topics is empty", .protocolError) }
        var subscriptions: [Subscribe.Subscription] = []
        for topic in topics {
            guard let qos = QoS(rawValue: UInt8(exactly: topic.qos ?? 0) ?? .max),
                let handling = SubscriptionOptions.RetainHandling(
                    rawValue: UInt8(exactly: topic.retainHandling ?? 0) ?? .max
                )
            else { throw .unprocessable("qos and retain_handling must be 0, 1 or 2", .protocolError) }
            let options = SubscriptionOptions(
                qos: qos,
                noLocal: topic.noLocal ?? false,
                retainAsPublished: topic.retainAsPublished ?? false,
                retainHandling: handling
            )
            guard !options.noLocal || !topic.topic.hasPrefix("$share/") else {
                throw .unprocessable("no_local can't be used with $share [MQTT-3.8.3-4]", .protocolError)
            }
            subscriptions.append(Subscribe.Subscription(filter: topic.topic, options: options))
        }
        return subscriptions
    }
}

/// One message as it was read.
struct LabelledOperation: Sendable {
    let label: JSONLabel?
    let operation: Result<JSONOperation, Problem>

    init(_ text: ByteBuffer, maximumFilters: Int) {
        label = JSONOperation.label(of: text)
        operation = Result { () throws(Problem) in try JSONOperation.read(text, maximumFilters: maximumFilters) }
    }
}

extension CodingUserInfoKey {
    /// Topics of one operation, at most.
    fileprivate static var maximumFilters: CodingUserInfoKey? { CodingUserInfoKey(rawValue: "maximumFilters") }
}

/// What a client calls an operation: a number or a string of its own choice.
package enum JSONLabel: Codable, Equatable, Sendable {
    case number(Int)
    case text(String)

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Int.self) {
            self = .number(number)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .number(let number): try container.encode(number)
        case .text(let text): try container.encode(text)
        }
    }
}
