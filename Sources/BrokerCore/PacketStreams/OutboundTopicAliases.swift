import MQTTCodec

/// The Topic Aliases that we have set on one network connection (MQTT 5.0 §3.3.2.3.4).
///
/// The first topics get an alias and keep it.
struct OutboundTopicAliases {
    /// Shorter topics are not worth the three bytes of the property.
    private static let minimumTopicLength = 8

    /// Longer topics get no alias: all aliases of a connection together are to take a few kilobytes.
    private static let maximumTopicLength = 128
    /// Bytes in memory of an alias, at most.
    static let cost = maximumTopicLength + 96

    private let maximum: Int
    private let hash = TopicHash()
    private var index = HashIndex()
    /// The topic of each alias, counted from 1.
    private var topics: ContiguousArray<[UInt8]> = []

    /// - Parameter maximum: the client's Topic Alias Maximum [MQTT-3.1.2-26], after our own limit.
    init(maximum: Int) { self.maximum = maximum }

    /// The alias under which the client knows the topic.
    func known(_ topic: RawSpan) -> UInt16? {
        index.find(hash(topic)) { topic.isEqual(to: topics[Int($0)]) }.map { UInt16($0 + 1) }
    }

    /// The alias that the topic would get now; nil when it gets none.
    func next(for topic: RawSpan) -> UInt16? {
        topics.count < maximum && (Self.minimumTopicLength...Self.maximumTopicLength).contains(topic.byteCount)
            ? UInt16(topics.count + 1) : nil
    }

    /// Notes that the client has been sent the topic with the alias `next`.
    mutating func set(_ topic: RawSpan) {
        index.insert(hash(topic), row: Int32(topics.count))
        topics.append(topic.withUnsafeBytes { [UInt8]($0) })
    }
}
