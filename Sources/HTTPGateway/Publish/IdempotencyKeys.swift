package import BrokerCore
package import HTTPTypes
import MQTTCodec
import NIOConcurrencyHelpers
package import NIOCore

/// Publishes that named an Idempotency-Key, with their answers, for the time in which a repeat is to be expected.
///
/// Only what was published is remembered: a request that was refused has done nothing, and may be made again.
package final class IdempotencyKeys: Sendable {
    /// One client's one key.
    package struct Key: Hashable, Sendable {
        let owner: RequestOwner
        let clientID: ExactText
        let key: ExactText

        package init(owner: RequestOwner, clientID: String, key: String) {
            self.owner = owner
            self.clientID = ExactText(clientID)
            self.key = ExactText(key)
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

    private let keys: NIOLockedValueBox<OnceKeys<Key, UInt64, Answer>>

    /// - Parameters:
    ///   - window: how long a key is remembered.
    ///   - limit: keys at a time.
    ///   - bytes: bytes of keys and answers.
    package init(window: TimeAmount, _ limit: Quota.Limit, bytes: Quota.Limit) {
        keys = NIOLockedValueBox(OnceKeys(lifetime: window, keys: limit, bytes: bytes))
    }

    /// Bytes that keys and answers take.
    package var bytes: Int { keys.withLockedValue { $0.bytesUsed } }

    /// - Parameters:
    ///   - fingerprint: of all that the request says.
    ///   - holder: whose shares it uses.
    package func begin(_ key: Key, fingerprint: UInt64, for holder: Holder, at now: NIODeadline) -> Verdict {
        keys.withLockedValue { keys in
            if let entry = keys.entry(of: key, at: now) {
                guard entry.note == fingerprint else { return .reused }
                return entry.answer.map(Verdict.answered) ?? .inProgress
            }
            keys.begin(key, fingerprint, cost: key.cost, for: holder, at: now)
            return .proceed
        }
    }

    /// The first request is answered.
    ///
    /// - Parameter answer: nil when nothing was published.
    package func finish(_ key: Key, _ answer: Answer?) {
        keys.withLockedValue { keys in
            if let answer { keys.finish(key, answer, cost: answer.cost) } else { keys.forget(key) }
        }
    }
}

extension IdempotencyKeys.Key {
    fileprivate var cost: Int { owner.cost + clientID.string.utf8.count + key.string.utf8.count }
}

extension IdempotencyKeys.Answer {
    fileprivate var cost: Int {
        body.storageCapacity + fields.reduce(0) { $0 + $1.name.rawName.utf8.count + $1.value.utf8.count + 64 }
    }
}
