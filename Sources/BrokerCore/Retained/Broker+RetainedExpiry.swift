import MQTTCodec
import NIOCore

// Retained messages whose Message Expiry Interval has passed are removed, from the store too.
extension Broker {
    /// Schedules the removal of the next retained message that expires.
    func scheduleRetainedExpiry() {
        let due = retained.messages.earliestExpiry
        guard due != .distantFuture, !retained.isSweeping else { return }
        let time = max(due, retained.nextSweep)
        guard time < retained.sweepTimer?.deadline ?? .distantFuture else { return }
        timers.cancel(retained.sweepTimer)
        retained.sweepTimer = timers.add(.retainedExpiry, at: time)
    }

    /// Goes through all retained messages, in slices, and removes those that have expired.
    func removeExpiredRetained() {
        timers.cancel(retained.sweepTimer)
        retained.sweepTimer = nil
        guard !retained.isSweeping else { return }
        retained.isSweeping = true
        var sweep = retained.messages.beginExpiry()
        begin { broker, steps in
            let isDone = broker.retained.messages.visitExpired(&sweep, at: broker.now, &steps)
            for message in sweep.takeExpired() { broker.removeRetained(message) }
            guard isDone else { return false }
            broker.endedRemovingRetained()
            return true
        }
    }

    /// Schedules the next search: the longer a search takes, the less often it is done.
    private func endedRemovingRetained() {
        retained.isSweeping = false
        retained.nextSweep = now + .seconds(1) + .microseconds(Int64(retained.messages.nodes) * 10)
        scheduleRetainedExpiry()
    }

    func removeRetained(_ message: Message) {
        message.withBytes { topic, _ in _ = forgetRetained(topic) }
        journal?.append(.removeRetained(message.topic))
    }
}

/// The progress of a search for expired retained messages.
struct RetainedSweep {
    fileprivate var row = 0
    fileprivate var expired: [Message] = []
    fileprivate var earliest = NIODeadline.distantFuture

    mutating func takeExpired() -> [Message] {
        defer { expired = [] }
        return expired
    }
}

extension RetainedMessages {
    /// Begins a search for expired messages; messages that are retained during it are for the next one.
    mutating func beginExpiry() -> RetainedSweep {
        forgetEarliestExpiry()
        return RetainedSweep()
    }

    /// Continues a search.
    ///
    /// - Returns: whether all messages have been visited.
    mutating func visitExpired(_ sweep: inout RetainedSweep, at now: NIODeadline, _ steps: inout Int) -> Bool {
        while sweep.row < nodes, steps > 0 {
            steps -= 1
            if let message = message(in: sweep.row) {
                if message.expiresAt <= now {
                    sweep.expired.append(message)
                } else {
                    sweep.earliest = min(sweep.earliest, message.expiresAt)
                }
            }
            sweep.row += 1
        }
        guard sweep.row >= nodes else { return false }
        note(expiry: sweep.earliest)
        return true
    }
}
