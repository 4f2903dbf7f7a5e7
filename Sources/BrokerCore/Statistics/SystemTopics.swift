import MQTTCodec
package import NIOCore

/// The broker's statistics under `$SYS`, under the names that mosquitto uses.
struct SystemTopics {
    private let interval: TimeAmount
    private let version: String
    private let started: NIODeadline
    private var updated: NIODeadline
    private var published: [String: String] = [:]
    private var loads: [String: LoadAverage] = [:]

    init(interval: TimeAmount, version: String, now: NIODeadline) {
        self.interval = interval
        self.version = version
        started = now
        updated = now
    }

    /// When the topics are published next.
    var due: NIODeadline { updated + interval }

    /// The topics, below `$SYS/broker/`, whose values have changed since the last call.
    mutating func changes(_ broker: Broker) -> [(topic: String, value: String)] {
        let now = broker.now
        let seconds = Double((now - updated).nanoseconds) / 1e9
        updated = now
        var values = counts(broker, uptime: (now - started).nanoseconds / 1_000_000_000)
        for (name, counter) in rates(broker.statistics) {
            loads[name, default: LoadAverage()].update(counter, seconds: seconds)
            for (minutes, average) in zip(LoadAverage.windows, loads[name]?.averages ?? []) {
                values.append(("load/\(name)/\(minutes)min", Self.hundredths(average)))
            }
        }
        for (levels, source) in broker.retained.systemSources {
            values += source(broker).map { ("\(levels)/\($0.topic)", $0.value) }
        }
        return values.filter { published.updateValue($0.value, forKey: $0.topic) != $0.value }
    }

    private func counts(_ broker: Broker, uptime: Int64) -> [(topic: String, value: String)] {
        let statistics = broker.statistics
        let connected = broker.registry.connected
        let total = broker.registry.countLasting
        let protocols = VirtualConnection.TransportProtocol.allCases.map { name in
            ("clients/connected/\(name.rawValue)", "\(broker.registry.connected(by: name))")
        }
        return protocols + [
            ("version", "sluice version \(version)"),
            ("uptime", "\(uptime) seconds"),
            ("clients/connected", "\(connected)"),
            ("clients/disconnected", "\(total - broker.registry.connectedLasting)"),
            ("clients/total", "\(total)"),
            ("clients/maximum", "\(statistics.maximumConnected)"),
            ("clients/expired", "\(statistics.sessionsExpired)"),
            ("messages/received", "\(statistics.packetsReceived)"),
            ("messages/sent", "\(statistics.packetsSent)"),
            ("bytes/received", "\(statistics.bytesReceived)"),
            ("bytes/sent", "\(statistics.bytesSent)"),
            ("publish/messages/received", "\(statistics.published)"),
            ("publish/messages/sent", "\(statistics.delivered)"),
            ("publish/messages/dropped", "\(statistics.dropped)"),
            ("publish/bytes/received", "\(statistics.publishedBytes)"),
            ("publish/bytes/sent", "\(statistics.deliveredBytes)"),
            ("retained messages/count", "\(broker.retained.messages.count)"),
            ("subscriptions/count", "\(broker.router.index.count)"),
            ("shared_subscriptions/count", "\(broker.router.index.sharedCount)"),
        ] + limits(broker)
    }

    /// The use of limited resources, and the refusals because a limit was reached.
    private func limits(_ broker: Broker) -> [(topic: String, value: String)] {
        let (usage, statistics) = (broker.usage, broker.statistics)
        return [
            ("limits/sessions/bytes", "\(usage.sessionBytes)"),
            ("limits/queued/bytes", "\(usage.queuedBytes)"),
            ("limits/retained/bytes", "\(usage.retainedBytes)"),
            ("limits/buffers/bytes", "\(usage.bufferBytes)"),
            ("limits/connections/refused", "\(statistics.connectionsRefused)"),
            ("limits/sessions/refused", "\(statistics.sessionsRefused)"),
            ("limits/sessions/given_way", "\(statistics.sessionsGivenWay)"),
            ("limits/subscriptions/refused", "\(statistics.subscriptionsRefused)"),
            ("limits/retained/refused", "\(statistics.retainedRefused)"),
        ]
    }

    private func rates(_ statistics: Statistics) -> [(name: String, counter: UInt64)] {
        [
            ("messages/received", statistics.packetsReceived),
            ("messages/sent", statistics.packetsSent),
            ("publish/received", statistics.published),
            ("publish/sent", statistics.delivered),
            ("publish/dropped", statistics.dropped),
            ("bytes/received", statistics.bytesReceived),
            ("bytes/sent", statistics.bytesSent),
            ("connections", statistics.connections),
            ("sockets", statistics.sockets),
        ]
    }

    /// Two decimal places, without Foundation.
    private static func hundredths(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
    }
}

extension Broker {
    /// Publishes `$SYS` topics from now on.
    ///
    /// - Parameters:
    ///   - interval: the time between two publications.
    ///   - version: the version of this broker.
    package func publishSystemTopics(every interval: TimeAmount, version: String) {
        retained.systemTopics = SystemTopics(interval: interval, version: version, now: now)
        updateSystemTopics()
    }

    /// Publishes further topics along with these, from the next publication on.
    ///
    /// - Parameters:
    ///   - levels: their levels below `$SYS/broker/`.
    ///   - source: returns the topics below these levels, and their values, at each publication.
    package func publishSystemTopics(
        under levels: String,
        _ source: @escaping (Broker) -> [(topic: String, value: String)]
    ) {
        retained.systemSources[levels] = source
    }

    /// Publishes changed values as retained messages, outside the store and the limits.
    func updateSystemTopics() {
        guard var topics = retained.systemTopics.take() else { return }
        for (name, value) in topics.changes(self) {
            let topic = "$SYS/broker/\(name)".utf8Span.span.bytes
            let payload = value.utf8Span.span.bytes
            let message = Message(topic: topic, payload: payload, qos: .atMostOnce, retain: true)
            retained.system.set(message, topic: topic)
            var publication = Publication(message)
            _ = route(&publication, topic: topic, payload: payload)
        }
        timers.add(.systemTopics, at: topics.due)
        retained.systemTopics = topics
    }
}
