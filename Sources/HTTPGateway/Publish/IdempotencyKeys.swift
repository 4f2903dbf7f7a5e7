import DequeModule
package import HTTPTypes
import NIOConcurrencyHelpers
package import NIOCore

/// Publishes that named an Idempotency-Key, with their answers, for the time in which a repeat is to be expected.
///
/// Only what was published is remembered: a request that was refused has done nothing, and may be made again.
package final class IdempotencyKeys: Sendable {
    /// One client's one key.
    package struct Key: Hashable, Sendable {
        let owner: RequestOwner
        let clientID: String
        let key: String

        package init(owner: RequestOwner, clientID: String, key: String) {
            self.owner = owner
            self.clientID = clientID
            self.key = key
        }
    }

    /// A first answer.
    package struct Answer: Sendable, Equatable {
        let status: HTTPResponse.Status
        let fields: HTTPFields
        let body: ByteBuffer

        package init(status: HTTPResponse.Status, fields: HTTPFields, body: ByteBuffer) {
            self.status = status
            self.fields = fields
            self.body = body
        }
    }

    /// What is to be done with a request.
    package enum Verdict: Sendable, Equatable {
        /// It is the first: publish, then `finish`.
        case proceed
        /// It is a repeat.
        case answered(Answer)
        /// The first one is still being published.
        case inProgress
        /// The key was used for another request.
        case reused
    }

    private struct Entry {
        let fingerprint: UInt64
        let expiresAt: NIODeadline
        /// nil while it is being published.
        var answer: Answer?
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        /// Oldest first; those forgotten meanwhile included.
        var order: Deque<(key: Key, expiresAt: NIODeadline)> = []
        var bytes = 0

        mutating func forget(_ key: Key, _ expiresAt: NIODeadline) {
            guard let entry = entries[key], entry.expiresAt == expiresAt else { return }
            bytes -= entry.answer?.body.readableBytes ?? 0
            entries[key] = nil
        }
    }

    private let state = NIOLockedValueBox(State())
    private let window: TimeAmount
    private let maximum: Int
    private let maximumBytes: Int

    /// - Parameters:
    ///   - window: how long a key is remembered.
    ///   - maximum: keys at a time; the oldest gives way.
    ///   - maximumBytes: bytes of all answers together, likewise.
    package init(window: TimeAmount, maximum: Int, maximumBytes: Int) {
        self.window = window
        self.maximum = maximum
        self.maximumBytes = maximumBytes
    }

    /// - Parameter fingerprint: of all that the request says.
    package func begin(_ key: Key, fingerprint: UInt64, at now: NIODeadline) -> Verdict {
        state.withLockedValue { state in
            while let oldest = state.order.first,
                oldest.expiresAt <= now || state.order.count >= maximum || state.bytes > maximumBytes
            {
                state.order.removeFirst()
                state.forget(oldest.key, oldest.expiresAt)
            }
            if let entry = state.entries[key] {
                guard entry.fingerprint == fingerprint else { return .reused }
                return entry.answer.map(Verdict.answered) ?? .inProgress
            }
            let entry = Entry(fingerprint: fingerprint, expiresAt: now + window)
            state.entries[key] = entry
            state.order.append((key, entry.expiresAt))
            return .proceed
        }
    }

    /// The first request is answered.
    ///
    /// - Parameter answer: nil when nothing was published.
    package func finish(_ key: Key, _ answer: Answer?) {
        state.withLockedValue { state in
            guard let answer else { return state.entries[key] = nil }
            guard state.entries[key] != nil else { return }
            state.entries[key]?.answer = answer
            state.bytes += answer.body.readableBytes
        }
    }
}
