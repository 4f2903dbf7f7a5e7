import BrokerCore
import BrokerTestSupport
import MQTTCodec

extension Schedule {
    /// The schedule of a seed.
    init(seed: UInt64) {
        self.seed = seed
        var random = RandomSchedule(seed: seed)
        setting = random.setting
        steps = random.steps().enumerated().map { Step(number: $0, action: $1) }
    }
}

/// Draws a schedule, with an eye on who is probably connected, so that most steps find something to do.
private struct RandomSchedule {
    private var generator: SplitMix64
    private(set) var setting = Schedule.Setting()
    /// Nearly all are members of one shared subscription, hold much and leave often.
    private var isAboutSharing = false
    private var isConnected = [Bool](repeating: false, count: Schedule.clients)
    /// What each client has once subscribed to, and may again, or unsubscribe from.
    private var known = [[String]](repeating: [], count: Schedule.clients)

    init(seed: UInt64) {
        generator = SplitMix64(seed: seed)
        setting.inflightMessages = generator.pick([1, 2, 3, 1_000])
        // What a queue holds can't be seen, so that one that is bounded comes without what makes that uncertain: shared
        // subscriptions, messages that expire, messages that may be too large.
        if generator.once(in: 4) {
            setting.queue = (generator.pick([1, 1, 2]), generator.pick(QueueLimits.Policy.allCases))
            setting.inflightMessages = generator.pick([1, 1, 2])
        } else {
            isAboutSharing = generator.once(in: 4)
        }
    }

    mutating func steps() -> [Schedule.Action] {
        var actions: [Schedule.Action] = []
        for client in 0..<Schedule.clients where !generator.once(in: 4) { actions += start(client) }
        for _ in 0..<generator.number(8...50) { actions.append(action()) }
        return actions + ending()
    }

    /// Connects a client and subscribes, so that there is something to see early on.
    private mutating func start(_ client: Int) -> [Schedule.Action] {
        [connect(client), subscribe(client)]
    }

    /// All come back and take what there is for them; the retained messages are looked at.
    private mutating func ending() -> [Schedule.Action] {
        var actions: [Schedule.Action] = []
        for client in 0..<Schedule.clients {
            actions.append(.writable(client, true))
            if !generator.once(in: 5) {
                actions.append(
                    .connect(
                        client,
                        Schedule.Connecting(version: Self.version(client, &generator), sessionExpiryInterval: 100)
                    )
                )
            }
            actions.append(.drain(client))
        }
        for client in 0..<Schedule.clients { actions.append(.drain(client)) }
        let all = ["#", "$x/#"].map { Subscribe.Subscription(filter: $0, options: .init(qos: .exactlyOnce)) }
        return actions + [
            .connect(Schedule.auditor, Schedule.Connecting()),
            .subscribe(Schedule.auditor, all, identifier: nil),
            .drain(Schedule.auditor),
        ]
    }

    private mutating func action() -> Schedule.Action {
        let client = generator.number(0...(Schedule.clients - 1))
        guard isConnected[client] || generator.once(in: 5) else {
            if isAboutSharing, generator.once(in: 4) { return leave(client, isAway: true) }
            return generator.once(in: 3) ? wait() : connect(client)
        }
        switch generator.number(0...99) {
        case 0...4: return connect(client)
        case 5...9:
            isConnected[client] = false
            return .drop(client)
        case 10...13: return disconnect(client)
        case 14...22: return subscribe(client)
        case 23...25:
            return isAboutSharing && generator.once(in: 2) ? leave(client, isAway: false) : unsubscribe(client)
        case 26...57: return .publish(client, publishing())
        case 58, 59: return .publishAgain(client, pick: generator.number(0...9))
        case 60...64: return .release(client, pick: generator.number(0...9))
        case 65...77:
            return isAboutSharing ? subscribe(client) : .acknowledge(client, pick: generator.number(0...9))
        case 78: return .refuse(client, pick: generator.number(0...9))
        case 79: return .stray(client, generator.pick([.puback, .pubrec, .pubrel, .pubcomp]))
        case 80...82: return .drain(client)
        case 83...85: return .writable(client, false)
        case 86, 87: return .writable(client, true)
        case 88: return .ping(client)
        case 89, 90:
            isConnected = isConnected.map { _ in false }
            return .restart(tenths: generator.pick([0, 1, 30]))
        default: return wait()
        }
    }

    private mutating func wait() -> Schedule.Action {
        .wait(tenths: generator.pick([1, 2, 5, 9, 10, 11, 15, 20, 29, 30, 40, 100]))
    }

    // MARK: Sessions

    /// Clients 0 and 1 speak 5.0 and client 2 speaks 3.1.1; client 3 changes its mind.
    private static func version(_ client: Int, _ generator: inout SplitMix64) -> ProtocolVersion {
        client < 2 ? .v5 : client == 2 ? .v3_1_1 : generator.pick([.v5, .v3_1_1])
    }

    private mutating func connect(_ client: Int) -> Schedule.Action {
        isConnected[client] = true
        var wanted = Schedule.Connecting()
        wanted.version = Self.version(client, &generator)
        wanted.cleanStart = generator.once(in: isAboutSharing ? 2 : 4)
        wanted.keepAlive = generator.pick([0, 0, 0, 1, 3])
        let isVersion5 = wanted.version == .v5
        if isVersion5 {
            wanted.sessionExpiryInterval = generator.pick([0, 1, 3, 100, 100, .max])
            wanted.receiveMaximum = generator.pick([nil, 1, 1, 2, 3])
            wanted.topicAliasMaximum = generator.pick([nil, nil, 1, 2])
            wanted.takesSmallOnly = setting.queue == nil && generator.once(in: 5)
        }
        guard generator.once(in: 2) else { return .connect(client, wanted) }
        wanted.will = Schedule.WillWanted(
            qos: generator.pick(QoS.allCases),
            retain: generator.once(in: 3),
            delayInterval: isVersion5 ? generator.pick([0, 0, 1, 2, 4, 200]) : 0,
            messageExpiryInterval: isVersion5 ? expiry() : nil
        )
        return .connect(client, wanted)
    }

    private mutating func disconnect(_ client: Int) -> Schedule.Action {
        isConnected[client] = false
        return .disconnect(
            client,
            withWill: generator.once(in: 3),
            sessionExpiryInterval: generator.pick([nil, nil, 0, 1, 3, 100])
        )
    }

    // MARK: Subscriptions

    private mutating func subscribe(_ client: Int) -> Schedule.Action {
        if isAboutSharing ? !generator.once(in: 4) : setting.queue == nil && generator.once(in: 3) {
            let shared = sharedFilter(client)
            return .subscribe(client, [.init(filter: shared.filter, options: options())], identifier: shared.identifier)
        }
        let count = generator.once(in: 4) ? 2 : 1
        return .subscribe(
            client,
            (0..<count).map { _ in
                var options = options()
                options.noLocal = generator.once(in: 4)
                options.retainHandling = generator.pick([.sendAtSubscribe, .sendAtSubscribe, .sendIfNew, .doNotSend])
                return .init(filter: filter(client), options: options)
            },
            identifier: generator.maybe { $0.number(1...9) }
        )
    }

    private mutating func filter(_ client: Int) -> String {
        if !known[client].isEmpty, generator.once(in: 3) { return generator.pick(known[client]) }
        let filter = generator.pick(Schedule.filters)
        known[client].append(filter)
        return filter
    }

    private mutating func options() -> SubscriptionOptions {
        SubscriptionOptions(
            qos: generator.pick([.atMostOnce, .atLeastOnce, .exactlyOnce, .exactlyOnce]),
            retainAsPublished: generator.once(in: 2)
        )
    }

    /// So that one can see which shared subscription a message came by, each has an identifier of its own; a client of
    /// 3.1.1 has one shared subscription only.
    private mutating func sharedFilter(_ client: Int) -> (filter: String, identifier: UInt32) {
        let isFirst = client > 1 || (isAboutSharing && !generator.once(in: 4))
        let number = isFirst ? 0 : generator.number(0...(Schedule.sharedFilters.count - 1))
        return (Schedule.sharedFilters[number], 100 + UInt32(number))
    }

    private mutating func unsubscribe(_ client: Int) -> Schedule.Action {
        let filter = known[client].isEmpty ? generator.pick(Schedule.filters) : generator.pick(known[client])
        let isShared = isAboutSharing || generator.once(in: 3)
        return .unsubscribe(client, isShared ? [sharedFilter(client).filter, filter] : [filter])
    }

    private mutating func leave(_ client: Int, isAway: Bool) -> Schedule.Action {
        isConnected[client] = false
        let wanted = Schedule.Connecting(version: Self.version(client, &generator), sessionExpiryInterval: 100)
        return .leave(client, [sharedFilter(client).filter], after: isAway ? wanted : nil)
    }

    // MARK: Messages

    private mutating func publishing() -> Schedule.Publishing {
        let topic = generator.pick(isAboutSharing ? ["t/a", "t/b"] : Schedule.topics)
        let retain = topic.hasPrefix("r/") ? !generator.once(in: 3) : generator.once(in: 4)
        // Empty messages are all alike, and so don't go where shared subscriptions are.
        let isEmpty = topic.hasPrefix("r/") && generator.once(in: 3)
        return Schedule.Publishing(
            topic: topic,
            qos: generator.pick(isAboutSharing ? [.atLeastOnce, .atLeastOnce, .exactlyOnce] : QoS.allCases),
            retain: retain,
            isEmpty: isEmpty,
            isLarge: !isEmpty && setting.queue == nil && generator.once(in: 6),
            messageExpiryInterval: expiry(),
            hasContentType: generator.once(in: 5)
        )
    }

    private mutating func expiry() -> UInt32? {
        setting.queue == nil ? generator.pick([nil, nil, nil, 1, 2, 4, 100]) : nil
    }
}
