import NIOCore

/// All retained messages: those of clients, which are stored, limited and expire, and the broker's own under `$SYS`.
struct RetainedTopics {
    var messages: RetainedMessages
    /// The broker's own, under `$SYS`; neither stored nor limited.
    var system: RetainedMessages
    /// What is published there; nil for nothing.
    var systemTopics: SystemTopics?
    /// What else is published there, by its levels below `$SYS/broker/`.
    var systemSources: [String: (Broker) -> [(topic: String, value: String)]] = [:]
    /// When the messages may be searched for expired ones again.
    var nextSweep = NIODeadline.distantPast
    /// Looks for messages that have expired.
    var sweepTimer: TimerQueue.Entry?
    /// Whether they are being looked for.
    var isSweeping = false

    init(hash: TopicHash) {
        messages = RetainedMessages(hash: hash)
        system = RetainedMessages(hash: hash)
    }
}
