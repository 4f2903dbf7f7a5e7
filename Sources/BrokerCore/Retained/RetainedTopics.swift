import NIOCore

/// All retained messages: those of clients, which are stored, limited and may expire, and the broker's own under
/// `$SYS`.
struct RetainedTopics {
    var messages: RetainedMessages
    /// The broker's own, under `$SYS`; neither stored nor limited.
    var system: RetainedMessages
    /// The statistics that are published under `$SYS`; nil publishes nothing.
    var systemTopics: SystemTopics?
    /// Further sources of `$SYS` topics, by their levels below `$SYS/broker/`.
    var systemSources: [String: (Broker) -> [(topic: String, value: String)]] = [:]
    /// The earliest time of the next search for expired messages.
    var nextSweep = NIODeadline.distantPast
    /// Begins the next search for expired messages.
    var sweepTimer: TimerQueue.Entry?
    /// Whether a search for expired messages is under way.
    var isSweeping = false

    init(hash: TopicHash) {
        messages = RetainedMessages(hash: hash)
        system = RetainedMessages(hash: hash)
    }
}
