/// The use of limited resources, each with a total and shares.
struct Accounts {
    /// Virtual connections that have a session.
    var connections: Quota
    /// Sessions that outlive their connections.
    var sessions: Quota
    var sessionBytes: Quota
    var queuedBytes: Quota
    var retainedMessages: Quota
    var retainedBytes: Quota
    var bufferBytes: Quota

    init(_ limits: Limits) {
        connections = Quota(.init(total: limits.connections, limits.connectionShares))
        sessions = Quota(.init(total: limits.sessions, limits.sessionShares))
        sessionBytes = Quota(.init(total: limits.sessionBytes, limits.sessionByteShares))
        queuedBytes = Quota(.init(total: limits.queuedBytes, limits.queuedByteShares))
        retainedMessages = Quota(.init(total: limits.retainedMessages, limits.retainedMessageShares))
        retainedBytes = Quota(.init(total: limits.retainedBytes, limits.retainedByteShares))
        bufferBytes = Quota(.init(total: limits.bufferBytes, limits.bufferByteShares))
    }
}

/// The core's use of limited resources, in numbers and bytes.
package struct MemoryUsage: Equatable, Sendable {
    package var connections = 0
    package var sessions = 0
    package var sessionBytes = 0
    package var queuedBytes = 0
    package var retainedBytes = 0
    package var bufferBytes = 0
    /// Addresses and users with a share in use.
    package var holders = 0

    package init() {}
}

extension Broker {
    /// The current use.
    package var usage: MemoryUsage {
        var usage = MemoryUsage()
        usage.connections = accounts.connections.used
        usage.sessions = accounts.sessions.used
        usage.sessionBytes = accounts.sessionBytes.used
        usage.queuedBytes = accounts.queuedBytes.used
        usage.retainedBytes = retained.messages.bytes
        usage.bufferBytes = accounts.bufferBytes.used
        usage.holders =
            accounts.connections.holders + accounts.sessions.holders + accounts.sessionBytes.holders
            + accounts.queuedBytes.holders + accounts.retainedBytes.holders + accounts.bufferBytes.holders
        return usage
    }
}
