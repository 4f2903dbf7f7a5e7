import BrokerCore
import CoreRuntime
import Crypto
import Dispatch
import NIOConcurrencyHelpers

/// Checks passwords, which is slow on purpose, one after another on a thread of its own, and remembers the good ones for
/// clients that show theirs with every request.
///
/// Addresses have turns: who comes from elsewhere does not wait for those that one address sends.
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
        /// Who waits for whom; nil are all those of whom that is not known.
        let network: ClientNetwork?
    }

    /// A question that waits for its turn.
    private struct Waiting {
        let question: Question
        let digest: HMAC<SHA256>.MAC
    }

    /// Good passwords that are remembered, as digests under a key that this process alone has.
    private static let rememberedPasswords = 8_192

    private struct State {
        var good = BoundedSet<HMAC<SHA256>.MAC>(capacity: PasswordVerifier.rememberedPasswords)
        /// Questions that are not answered: who asks the same gets the same answer.
        var pending: [HMAC<SHA256>.MAC: PendingAuthentication] = [:]
        /// Those that are not looked at yet.
        var waiting: FairQueue<Waiting>
    }

    private let state: NIOLockedValueBox<State>
    private let queue = DispatchQueue(label: "sluice.passwords")
    private let key = SymmetricKey(size: .bits256)

    /// - Parameter waiting: questions that may wait; half of them from one address.
    init(waiting: Int) {
        state = NIOLockedValueBox(State(waiting: FairQueue(maximum: waiting)))
    }

    /// The answer, at once if it is remembered; does not block.
    func verify(_ question: Question) -> Authentication {
        let digest = digest(of: question)
        let answer = state.withLockedValue { state -> Answer in
            if state.good.contains(digest) { return Answer(.accepted(userName: question.userName)) }
            if let pending = state.pending[digest] { return Answer(.pending(pending)) }
            let pending = PendingAuthentication()
            switch state.waiting.append(Waiting(question: question, digest: digest), for: question.network) {
            case .refused: return Answer(.busy)
            case .waits:
                state.pending[digest] = pending
                return Answer(.pending(pending), isNew: true)
            case .displaced(let other):
                state.pending[digest] = pending
                return Answer(.pending(pending), displaced: state.pending.removeValue(forKey: other.digest))
            }
        }
        answer.displaced?.answer(.busy)
        if answer.isNew { queue.async { [self] in checkNext() } }
        return answer.authentication
    }

    private struct Answer {
        let authentication: Authentication
        let isNew: Bool
        /// Whose turn does not come, since another one took its place.
        let displaced: PendingAuthentication?

        init(_ authentication: Authentication, isNew: Bool = false, displaced: PendingAuthentication? = nil) {
            self.authentication = authentication
            self.isNew = isNew
            self.displaced = displaced
        }
    }

    private func checkNext() {
        guard let next = state.withLockedValue({ $0.waiting.popFirst() }) else { return }
        let (question, digest) = (next.question, next.digest)
        let isGood = question.hash.matches(question.password) && question.isKnown
        let pending = state.withLockedValue { state in
            state.waiting.done()
            if isGood { state.good.insert(digest) }
            return state.pending.removeValue(forKey: digest)
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
