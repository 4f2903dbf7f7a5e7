import BrokerCore
import Crypto
import Foundation
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
    }

    /// Bytes of the longest token that is looked at.
    private static let longest = 8_192
    private static let rememberedTokens = 8_192

    private struct State {
        var verdicts = BoundedDictionary<HMAC<SHA256>.MAC, TokenRules.Verdict>(capacity: TokenVerifier.rememberedTokens)
        /// Who waits for a token to be verified.
        var waiting: [HMAC<SHA256>.MAC: [(Question, PendingAuthentication)]] = [:]
        var waitingCount = 0
    }

    private let state = NIOLockedValueBox(State())
    private let key = SymmetricKey(size: .bits256)
    private let keys: TokenKeys
    private let rules: TokenRules
    private let limit: Int
    private let wallClock: @Sendable () -> Double

    /// - Parameters:
    ///   - waiting: questions that may wait.
    ///   - wallClock: seconds since 1970.
    init(
        _ keys: TokenKeys,
        _ rules: TokenRules,
        waiting: Int,
        wallClock: @escaping @Sendable () -> Double = { Date().timeIntervalSince1970 }
    ) {
        self.keys = keys
        self.rules = rules
        limit = waiting
        self.wallClock = wallClock
    }

    /// Whether it has the form of a token (RFC 7519 §3): three parts of base64url, the first of which is a JSON object.
    static func isToken(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.starts(with: "eyJ".utf8) && bytes.lazy.filter { $0 == UInt8(ascii: ".") }.count == 2
    }

    /// The answer, at once if the token is remembered; does not block.
    func verify(_ question: Question) -> Authentication {
        guard question.token.count <= Self.longest else { return .badCredentials }
        let digest = HMAC<SHA256>.authenticationCode(for: question.token, using: key)
        let pending = PendingAuthentication()
        let (answer, isNew) = state.withLockedValue { state -> (Authentication, Bool) in
            if let verdict = state.verdicts[digest] { return (judge(verdict, question), false) }
            guard state.waitingCount < limit else { return (.busy, false) }
            state.waitingCount += 1
            state.waiting[digest, default: []].append((question, pending))
            return (.pending(pending), state.waiting[digest]?.count == 1)
        }
        if isNew { Task { await check(question.token, digest) } }
        return answer
    }

    private func check(_ token: [UInt8], _ digest: HMAC<SHA256>.MAC) async {
        let verdict = (try? await keys.verify(token)).flatMap(rules.verdict)
        let waiting = state.withLockedValue { state in
            if let verdict { state.verdicts.insert(verdict, for: digest) }
            let waiting = state.waiting.removeValue(forKey: digest) ?? []
            state.waitingCount -= waiting.count
            return waiting
        }
        for (question, pending) in waiting {
            pending.answer(verdict.map { judge($0, question) } ?? .badCredentials)
        }
    }

    private func judge(_ verdict: TokenRules.Verdict, _ question: Question) -> Authentication {
        let time = wallClock()
        guard rules.isGood(verdict, at: time) else { return .badCredentials }
        if let userName = question.userName, !userName.isEmpty, UserName(userName) != UserName(verdict.userName) {
            return .badCredentials
        }
        if let clientID = verdict.clientID, UserName(clientID) != UserName(question.clientID) { return .notAuthorized }
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
