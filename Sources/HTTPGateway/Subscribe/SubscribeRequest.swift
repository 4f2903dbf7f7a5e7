import HTTPServer
package import HTTPTypes
package import JSONMessages
package import MQTTCodec

/// What a client wants to hear of, and how.
package struct SubscribeRequest: Sendable {
    /// How the messages are written.
    package enum Form: Sendable, Equatable {
        /// A response without an end.
        case stream(EventFormat)
        case longPoll(LongPoll)
    }

    package struct LongPoll: Sendable, Equatable {
        /// Seconds to wait for a first message.
        package let wait: Int
        /// Messages to answer with, at most.
        package let maximum: Int
        /// Where the last answer ended; nil on the first poll.
        package let cursor: EventID?
    }

    /// Seconds a persistent session lasts when the client doesn't say.
    static let defaultSessionExpiryInterval = 3_600
    private static let defaultWait = 25
    private static let defaultMaximum = 100
    private static let maximumOfMaximum = 1_000

    /// Empty when a former session, or a long-poll, goes on.
    package let subscriptions: [Subscribe.Subscription]
    /// Whether the session outlives the connection, and a former one goes on.
    package let isPersistent: Bool
    /// Seconds.
    package let sessionExpiryInterval: UInt32
    /// The last delivery the client has.
    package let lastEventID: EventID?
    package let form: Form

    /// - Throws: 400 when the query can't be understood, 413 when it asks for too many topics, 406 when the client takes no format we have.
    package init(
        _ query: Query,
        _ fields: HTTPFields,
        maximumWait: Int,
        maximumFilters: Int = .max
    ) throws(Problem) {
        isPersistent = try query.flag("clean") == false
        let clientID = try query.string("clientid") ?? ""
        guard !isPersistent || !clientID.isEmpty else {
            throw .badRequest("clean=0 needs a clientid", .clientIdentifierNotValid)
        }
        let expiry = try query.integer("se", in: 0...Int(UInt32.max))
        guard expiry == nil || isPersistent else { throw .badRequest("se needs clean=0") }
        sessionExpiryInterval = isPersistent ? UInt32(expiry ?? Self.defaultSessionExpiryInterval) : 0

        form = try Self.form(query, fields, maximumWait)
        // The header is what a browser sends when it reconnects, so it is newer than the query.
        var eventIDInQuery = try query.string("last_event_id")
        if eventIDInQuery == nil { eventIDInQuery = try query.string("lastEventId") }
        let eventID = fields.values(of: .lastEventID).first ?? eventIDInQuery
        if case .longPoll(let poll) = form, let cursor = poll.cursor {
            lastEventID = cursor
        } else if let eventID, !eventID.isEmpty {
            // Not ours: an epoch nobody knows.
            lastEventID = EventID(eventID) ?? EventID(epoch: "", sequence: 0)
        } else {
            lastEventID = nil
        }
        subscriptions = try Self.subscriptions(query, isPersistent: isPersistent, maximumFilters)
        guard !subscriptions.isEmpty || isPersistent || lastEventID != nil else {
            throw .badRequest("no topic= to subscribe to", .topicFilterInvalid)
        }
    }

    private static func form(_ query: Query, _ fields: HTTPFields, _ maximumWait: Int) throws(Problem) -> Form {
        let available = EventFormat.allCases.map(\.mediaType) + ["application/json"]
        guard let chosen = MediaType.negotiate(fields.values(of: .accept), available) else {
            throw Problem(
                .notAcceptable,
                .payloadFormatInvalid,
                "messages come as \(available.joined(separator: ", "))"
            )
        }
        // What a stream does not need has to be right in it, too.
        let wait = try query.integer("wait", in: 0...86_400) ?? defaultWait
        let maximum = try query.integer("max", in: 1...maximumOfMaximum) ?? defaultMaximum
        if let format = EventFormat.allCases.first(where: { $0.mediaType == chosen }) { return .stream(format) }
        var cursor: EventID?
        if let text = try query.string("cursor"), !text.isEmpty {
            guard let parsed = EventID(text) else {
                throw .badRequest("cursor is none of ours", .packetIdentifierNotFound)
            }
            cursor = parsed
        }
        return .longPoll(LongPoll(wait: min(wait, maximumWait), maximum: maximum, cursor: cursor))
    }

    private static func subscriptions(
        _ query: Query,
        isPersistent: Bool,
        _ maximumFilters: Int
    ) throws(Problem) -> [Subscribe.Subscription] {
        // A session that goes on would else get its retained messages again each time its client comes back.
        let handling = try query.integer("rh", in: 0...2) ?? (isPersistent ? 1 : 0)
        let options = SubscriptionOptions(
            qos: try query.qos() ?? .atMostOnce,
            noLocal: try query.flag("nl") ?? false,
            retainHandling: SubscriptionOptions.RetainHandling(rawValue: UInt8(handling)) ?? .sendAtSubscribe
        )
        var subscriptions: [Subscribe.Subscription] = []
        let filters = try query.strings("topic")
        guard filters.count <= maximumFilters else { throw .tooManyFilters(maximumFilters) }
        for filter in filters {
            let checked: TopicFilter
            do {
                checked = try TopicFilter(filter)
            } catch {
                throw .badRequest("\(filter): \(error)", .topicFilterInvalid)
            }
            guard checked.shareName == nil || !options.noLocal else {
                throw .badRequest("nl can't be used with $share [MQTT-3.8.3-4]", .protocolError)
            }
            subscriptions.append(Subscribe.Subscription(filter: filter, options: options))
        }
        return subscriptions
    }
}
