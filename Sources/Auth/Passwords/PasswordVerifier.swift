import BrokerCore
import Crypto
import Dispatch
import NIOConcurrencyHelpers

/// Checks passwords, which is slow on purpose, one after another on a thread of its own, and remembers the good ones for
/// clients that show theirs with every request.
final class PasswordVerifier: Sendable {
    /// Whether a password is the user's.
    struct Question: Sendable {
        let userName: String
        let password: [UInt8]
        let hash: PasswordHash
        /// Whether there is such a user; else the hash is a decoy.
        let isKnown: Bool
        /// Of the password file.
        let generation: UInt64
    }

    /// Good passwords that are remembered, as digests under a key that this process alone has.
    private static let rememberedPasswords = 8_192

    private struct State {
        var good = BoundedSet<HMAC<SHA256>.MAC>(capacity: PasswordVerifier.rememberedPasswords)
        /// Questions that are being looked at: who asks the same gets the same answer.
        var waiting: [HMAC<SHA256>.MAC: PendingAuthentication] = [:]
    }

    private let state = NIOLockedValueBox(State())
    private let queue = DispatchQueue(label: "sluice.passwords")
    private let key = SymmetricKey(size: .bits256)
    private let limit: Int

    /// - Parameter waiting: questions that may wait.
    init(waiting: Int) { limit = waiting }

    /// The answer, at once if it is remembered; does not block.
    func verify(_ question: Question) -> Authentication {
        let digest = digest(of: question)
        let (answer, isNew) = state.withLockedValue { state -> (Authentication, Bool) in
            if state.good.contains(digest) { return (.accepted(userName: question.userName), false) }
            if let pending = state.waiting[digest] { return (.pending(pending), false) }
            guard state.waiting.count < limit else { return (.busy, false) }
            let pending = PendingAuthentication()
            state.waiting[digest] = pending
            return (.pending(pending), true)
        }
        if isNew { queue.async { [self] in check(question, digest) } }
        return answer
    }

    private func check(_ question: Question, _ digest: HMAC<SHA256>.MAC) {
        let isGood = question.hash.matches(question.password) && question.isKnown
        let pending = state.withLockedValue { state in
            if isGood { state.good.insert(digest) }
            return state.waiting.removeValue(forKey: digest)
        }
        pending?.answer(isGood ? .accepted(userName: question.userName) : .badCredentials)
    }

    /// Covers the length of the name, so that no two questions have the same bytes.
    private func digest(of question: Question) -> HMAC<SHA256>.MAC {
        let name = Array(question.userName.utf8)
        var hmac = HMAC<SHA256>(key: key)
        withUnsafeBytes(of: question.generation) { hmac.update(data: $0) }
        withUnsafeBytes(of: name.count) { hmac.update(data: $0) }
        hmac.update(data: name)
        hmac.update(data: question.password)
        return hmac.finalize()
    }
}

/// A set that forgets its oldest member when it is full.
struct BoundedSet<Element: Hashable & Sendable>: Sendable {
    private let capacity: Int
    private var members: Set<Element> = []
    private var order: [Element] = []
    /// The oldest one, once all places are taken.
    private var next = 0

    init(capacity: Int) { self.capacity = capacity }

    func contains(_ element: Element) -> Bool { members.contains(element) }

    mutating func insert(_ element: Element) {
        guard members.insert(element).inserted else { return }
        guard order.count == capacity else { return order.append(element) }
        members.remove(order[next])
        order[next] = element
        next = (next + 1) % capacity
    }
}
