import BrokerCore
import CoreRuntime
import Crypto
import Foundation
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore

/// Verifies JSON Web Tokens off the core loop, and remembers the good ones for clients that show theirs with every
/// request.
final class TokenVerifier: Sendable {
    /// A token, and who shows it.
    struct Question: Sendable {
        let token: [UInt8]
        /// Must be the token's, if there is one.
        let userName: String?
        let clientID: String
        /// Who waits for whom; nil are all those of whom that is not known.
        let network: ClientNetwork?
    }

    private struct Waiting {
        let question: Question
        let digest: HMAC<SHA256>.MAC
        let pending: PendingAuthentication
    }

    /// Bytes of the longest token that is looked at.
    private static let longest = 8_192
    private static let rememberedTokens = 8_192

    private struct State {
        var verdicts = BoundedDictionary<HMAC<SHA256>.MAC, TokenRules.Verdict>(capacity: TokenVerifier.rememberedTokens)
        /// Who waits for a token to be verified.
        var waiting: FairQueue<Waiting>
        /// Tasks that verify.
        var tasks = 0
    }

    /// Tokens that are verified at a time.
    private static let maximumTasks = 2

    private let state: NIOLockedValueBox<State>
    private let key = SymmetricKey(size: .bits256)
    private let keys: TokenKeys
    private let rules: TokenRules
    private let wallClock: @Sendable () -> Double

    /// - Parameters:
    ///   - waiting: questions that may wait; half of them from one address.
    ///   - wallClock: seconds since 1970.
    init(
        _ keys: TokenKeys,
        _ rules: TokenRules,
        waiting: Int,
        wallClock: @escaping @Sendable () -> Double = { Date().timeIntervalSince1970 }
    ) {
        self.keys = keys
        self.rules = rules
        state = NIOLockedValueBox(State(waiting: FairQueue(maximum: waiting)))
        self.wallClock = wallClock
    }

    /// Whether it has the form of a token (RFC 7519 §3): three parts of base64url, the first of which is a JSON object.
    static func isToken(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.starts(with: "eyJ".utf8) && bytes.lazy.filter { $0 == UInt8(ascii: ".") }.count == 2
    }

    /// The answer, at once if the token is remembered; does not block.
    func verify(_ question: Question) -> Authentication {
        guard question.token.count <= Self.longest else {
            return Self.refusal(TokenRefused("it has more than \(Self.longest) bytes"))
        }
        let digest = HMAC<SHA256>.authenticationCode(for: question.token, using: key)
        let waiting = Waiting(question: question, digest: digest, pending: PendingAuthentication())
        var displaced: PendingAuthentication?
        let (answer, isBegun) = state.withLockedValue { state -> (Authentication, Bool) in
            if let verdict = state.verdicts[digest] { return (judge(verdict, question), false) }
            switch state.waiting.append(waiting, for: question.network) {
            case .refused: return (.busy, false)
            case .displaced(let other): displaced = other.pending
            case .waits: break
            }
            guard state.tasks < Self.maximumTasks else { return (.pending(waiting.pending), false) }
            state.tasks += 1
            return (.pending(waiting.pending), true)
        }
        displaced?.answer(.busy)
        if isBegun { Task { await checkAll() } }
        return answer
    }

    /// Verifies until nothing waits.
    private func checkAll() async {
        while let next = next() {
            let answer: Authentication
            do throws(TokenRefused) {
                answer = judge(try await verdict(on: next), next.question)
            } catch {
                answer = Self.refusal(error)
            }
            state.withLockedValue { $0.waiting.done() }
            next.pending.answer(answer)
        }
    }

    private func verdict(on waiting: Waiting) async throws(TokenRefused) -> TokenRules.Verdict {
        // The one before may have been the same.
        if let known = state.withLockedValue({ $0.verdicts[waiting.digest] }) { return known }
        let verdict = try rules.verdict(try await keys.verify(waiting.question.token))
        state.withLockedValue { $0.verdicts.insert(verdict, for: waiting.digest) }
        return verdict
    }

    private static func refusal(
        _ refused: TokenRefused,
        _ reason: ReasonCode = .badUserNameOrPassword
    ) -> Authentication {
        .refused(reason, detail: "the token: \(refused.words)")
    }

    private func next() -> Waiting? {
        state.withLockedValue { state in
            if let next = state.waiting.popFirst() { return next }
            state.tasks -= 1
            return nil
        }
    }

    private func judge(_ verdict: TokenRules.Verdict, _ question: Question) -> Authentication {
        let time = wallClock()
        do throws(TokenRefused) {
            try rules.check(verdict, at: time)
        } catch {
            return Self.refusal(error)
        }
        if let userName = question.userName, !userName.isEmpty, !userName.isSame(as: verdict.userName) {
            return Self.refusal(TokenRefused("it is another user's, \(verdict.userName)"))
        }
        if let clientID = verdict.clientID, !clientID.isSame(as: question.clientID) {
            return Self.refusal(TokenRefused("it is good for the Client Identifier \(clientID) alone"), .notAuthorized)
        }
        let left = verdict.expires.map { $0 + Double(rules.leeway) - time }
        return .acceptedToken(userName: verdict.userName, expiresAt: left.flatMap(Self.deadline))
    }

    /// nil is so late that nobody sees it.
    private static func deadline(in seconds: Double) -> NIODeadline? {
        guard seconds < 100 * 365 * 86_400 else { return nil }
        return .now() + .milliseconds(Int64(seconds * 1_000))
    }
}

/// A dictionary that forgets its oldest entry when it is full.
struct BoundedDictionary<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let capacity: Int
    private var values: [Key: Value] = [:]
    private var order: [Key] = []
    /// The oldest one, once all places are taken.
    private var next = 0

    init(capacity: Int) { self.capacity = capacity }

    subscript(key: Key) -> Value? { values[key] }

    mutating func insert(_ value: Value, for key: Key) {
        guard values.updateValue(value, forKey: key) == nil else { return }
        guard order.count == capacity else { return order.append(key) }
        values[order[next]] = nil
        order[next] = key
        next = (next + 1) % capacity
    }
}
