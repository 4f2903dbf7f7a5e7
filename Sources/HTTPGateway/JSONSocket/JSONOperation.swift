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

    private enum Name: String, CaseIterable {
        case connect, subscribe, unsubscribe, publish, ack, ping, disconnect
    }

    /// Reads the fields of an operation.
    ///
    /// - Throws: 413 or 422 with what is wrong with it.
    fileprivate init(_ fields: inout JSONFields) throws(Problem) {
        guard let name = try fields.choice("op", Name.self) else { throw fields.missing("op") }
        let maximum = fields.reading?.maximumFilters ?? .max
        switch name {
        case .connect: self = .connect(try JSONConnect(&fields))
        case .subscribe: self = .subscribe(try Self.subscriptions(&fields, maximum))
        case .unsubscribe:
            self = .unsubscribe(
                try Self.topics(&fields, maximum).map { (topic) throws(Problem) in
                    switch topic {
                    case .text(let filter): return filter
                    case .object(var object):
                        guard let filter = try object.text("topic") else { throw object.missing("topic") }
                        try object.finish()
                        return filter
                    }
                }
            )
        case .publish: self = .publish(try PublishEnvelope.request(&fields))
        case .ack:
            guard let text = try fields.text("id") else { throw fields.missing("id") }
            guard let id = EventID(text) else {
                throw .unprocessable("id is no message's", .packetIdentifierNotFound)
            }
            self = .acknowledge(id)
        case .ping: self = .ping
        case .disconnect: self = .disconnect(sessionExpiryInterval: try fields.seconds("session_expiry_interval"))
        }
        try fields.finish()
    }

    /// `topics`, a list of texts and objects, or the one `topic`.
    private static func topics(
        _ fields: inout JSONFields,
        _ maximum: Int
    ) throws(Problem) -> [JSONFields.Element] {
        let many = try fields.list("topics", maximum: maximum)
        let one = try fields.text("topic").map { JSONFields.Element.text($0) }
        let topics = (many ?? []) + [one].compactMap(\.self)
        guard !topics.isEmpty else {
            throw many == nil ? fields.missing("topic") : .unprocessable("topics: is empty", .protocolError)
        }
        guard topics.count <= maximum else { throw .tooManyFilters(maximum) }
        return topics
    }

    /// What is said beside `topics` goes for those that don't say otherwise.
    private static func subscriptions(
        _ fields: inout JSONFields,
        _ maximum: Int
    ) throws(Problem) -> [Subscribe.Subscription] {
        let topics = try topics(&fields, maximum)
        let common = try fields.options(SubscriptionOptions(qos: .atMostOnce))
        return try topics.map { (topic) throws(Problem) in
            var filter: String
            var options = common
            switch topic {
            case .text(let text): filter = text
            case .object(var object):
                guard let text = try object.text("topic") else { throw object.missing("topic") }
                filter = text
                options = try object.options(common)
                try object.finish()
            }
            guard !options.noLocal || !filter.begins(with: "$share/") else {
                throw .unprocessable("no_local can't be used with $share [MQTT-3.8.3-4]", .protocolError)
            }
            return Subscribe.Subscription(filter: filter, options: options)
        }
    }
}

extension JSONFields {
    fileprivate mutating func options(_ usual: SubscriptionOptions) throws(Problem) -> SubscriptionOptions {
        let qos = try integer("qos", in: 0...2).flatMap { QoS(rawValue: UInt8($0)) }
        let handling = try integer("retain_handling", in: 0...2)
            .flatMap { SubscriptionOptions.RetainHandling(rawValue: UInt8($0)) }
        return SubscriptionOptions(
            qos: qos ?? usual.qos,
            noLocal: try flag("no_local") ?? usual.noLocal,
            retainAsPublished: try flag("retain_as_published") ?? usual.retainAsPublished,
            retainHandling: handling ?? usual.retainHandling
        )
    }
}

/// One message as it was read, all of it at once.
package struct LabelledOperation: Sendable {
    /// What the client calls the operation, for its answer.
    package let label: JSONLabel?
    package let operation: Result<JSONOperation, Problem>

    /// - Parameter maximumFilters: topics that one of them may subscribe to, or unsubscribe from.
    package init(_ text: ByteBuffer, maximumFilters: Int = .max) {
        do throws(Problem) {
            let reading = JSONFields.Reading(text, maximumFilters: maximumFilters)
            let read = try JSONFields.decode(Text.self, text, reading)
            label = read.label
            operation = read.operation
        } catch {
            label = nil
            operation = .failure(error)
        }
    }

    private struct Text: Decodable {
        let label: JSONLabel?
        let operation: Result<JSONOperation, Problem>

        init(from decoder: any Decoder) throws {
            var fields = try JSONFields(decoder)
            label = try? fields.label("id")
            operation = Result { () throws(Problem) in
                _ = try fields.label("id")
                return try JSONOperation(&fields)
            }
        }
    }
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
