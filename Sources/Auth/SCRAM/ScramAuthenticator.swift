package import BrokerCore
import Crypto
import MQTTCodec
import NIOCore

/// Offers the Authentication Method SCRAM-SHA-256 (RFC 5802, RFC 7677) to the users of a password file.
///
/// Without channel binding: MQTT 5.0 says nothing of how a client would find out about it.
package final class ScramAuthenticator: EnhancedAuthenticator, @unchecked Sendable {
    // Sendable as a handle; it is used on the core loop only.

    /// The name of the method.
    package static let method = "SCRAM-SHA-256"

    fileprivate private(set) var directory: ScramDirectory
    private let makeNonce: () -> String

    /// Offers it to the users of that file that have SCRAM keys.
    ///
    /// - Parameter makeNonce: gives unguessable printable characters without a comma.
    package init(
        _ passwords: PasswordFile,
        makeNonce: @escaping () -> String = { [UInt8].random(count: 18).base64 }
    ) {
        directory = passwords.scram
        self.makeNonce = makeNonce
    }

    /// Goes on with another file; exchanges under way end well only if it has the same keys for their user.
    package func replace(_ passwords: PasswordFile) { directory = passwords.scram }

    package func begin(_ method: String, for credentials: Credentials) -> (any AuthenticationExchange)? {
        guard method.isSame(as: Self.method) else { return nil }
        return ScramExchange(self, nonce: makeNonce())
    }
}

/// The server's side of one exchange (RFC 5802 §5).
final class ScramExchange: AuthenticationExchange {
    private struct Challenge {
        let first: ClientFirst
        let userName: String
        let keys: ScramKeys
        let isKnown: Bool
        let nonce: String
        let serverFirst: String
    }

    /// Bytes of the longest message that is looked at: names and nonces are short, and they are kept, and compared in
    /// ways that take their time.
    private static let longest = 4_096

    private let authenticator: ScramAuthenticator
    private let serverNonce: String
    private var challenge: Challenge?

    init(_ authenticator: ScramAuthenticator, nonce: String) {
        self.authenticator = authenticator
        serverNonce = nonce
    }

    func step(_ message: ByteBuffer?) -> AuthenticationStep {
        // A client may name the method only, and wait for us to ask.
        guard let message, message.readableBytes > 0 else {
            return challenge == nil ? .continue(nil) : refuse(.malformed)
        }
        guard message.readableBytes <= Self.longest,
            let text = String(validating: message.readableBytesView, as: UTF8.self)
        else { return refuse(.malformed) }
        do throws(ScramProblem) {
            guard let challenge else { return .continue(ByteBuffer(string: try begin(text))) }
            return try finish(text, challenge)
        } catch {
            return refuse(error)
        }
    }

    /// - Returns: `r=nonce,s=salt,i=iterations`.
    private func begin(_ text: String) throws(ScramProblem) -> String {
        let first = try ClientFirst(text)
        let directory = authenticator.directory
        let userName = directory.name(of: first.userName)
        let (keys, isKnown) = directory[userName]
        let nonce = first.nonce + serverNonce
        let answer = "r=\(nonce),s=\(keys.salt.base64),i=\(keys.iterations)"
        challenge = Challenge(
            first: first,
            userName: userName,
            keys: keys,
            isKnown: isKnown,
            nonce: nonce,
            serverFirst: answer
        )
        return answer
    }

    private func finish(_ text: String, _ challenge: Challenge) throws(ScramProblem) -> AuthenticationStep {
        let final = try ClientFinal(text)
        guard final.nonce == challenge.nonce, final.header.elementsEqual(challenge.first.header.utf8) else {
            throw .changed
        }
        let authMessage = "\(challenge.first.bare),\(challenge.serverFirst),\(final.withoutProof)"
        let isProven = challenge.keys.proves(final.proof, authMessage)
        // The password file may have been replaced since the challenge.
        let current = authenticator.directory[challenge.userName]
        guard isProven, challenge.isKnown, current.isKnown, current.keys == challenge.keys else {
            return .refused(.badUserNameOrPassword, detail: "user name or password is wrong")
        }
        let signature = challenge.keys.serverSignature(authMessage)
        return .accepted(userName: challenge.userName, ByteBuffer(string: "v=\(signature.base64)"))
    }

    private func refuse(_ problem: ScramProblem) -> AuthenticationStep {
        .refused(.notAuthorized, detail: problem.rawValue)
    }
}
