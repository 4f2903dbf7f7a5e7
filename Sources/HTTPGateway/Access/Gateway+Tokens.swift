import BrokerCore
import HTTPServer
import HTTPTypes
import JSONMessages
import MQTTCodec
import NIOCore

extension Gateway {
    /// `POST /v1/token`: a session token for whoever may connect (the answer is that of RFC 6749 §5.1).
    ///
    /// `clientid=` binds it to one Client Identifier.
    func issueToken(_ exchange: Exchange) async throws(Problem) -> Response {
        let longest = Int(configuration.maximumTokenLifetime.components.seconds)
        let lifetime = try exchange.query.integer("expires_in", in: 1...Int(UInt32.max))
        let seconds = min(lifetime ?? Self.defaultTokenLifetime, longest)
        let identity = try exchange.identity(tokens)
        if case .bearer = try Authorization(exchange.fields[.authorization]) {
            throw Problem(.forbidden, .notAuthorized, "a token does not make tokens: show the credentials")
        }
        guard identity.transportIdentity == nil else {
            throw Problem(.forbidden, .notAuthorized, "a certificate does not make tokens: show it again instead")
        }
        var credentials: BasicCredentials?
        if case .basic(let shown) = identity.credentials { credentials = shown }
        let userName = try await core.transact(as: identity) { _, connection in connection.userName }
        let now = NIODeadline.now()
        let grant = AccessTokens.Grant(
            credentials: credentials,
            clientID: identity.clientID.isEmpty ? nil : identity.clientID,
            expiresAt: now + .seconds(Int64(seconds))
        )
        let holder = Holder(network: identity.address.network, userName: userName)
        let token: String
        do throws(RefusedByQuota) {
            token = try tokens.issue(grant, to: holder, at: now).get()
        } catch {
            throw error.refusal.isOwnShare
                ? Problem(.quotaExceeded, detail: "too many tokens of this address or user are in use")
                : Problem(.serverBusy, detail: "too many tokens are in use")
        }
        return Response(
            status: .ok,
            headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: JSON.encode(TokenAnswer(accessToken: token, tokenType: "Bearer", expiresIn: seconds))
        )
    }

    /// `DELETE /v1/token`: the token the request shows is worthless from now on (RFC 7009 in spirit).
    func revokeToken(_ exchange: Exchange) throws(Problem) -> Response {
        guard case .bearer(let token) = try Authorization(exchange.fields[.authorization]) else {
            throw .unauthorized("show the token to be revoked: Authorization: Bearer …")
        }
        guard tokens.grant(of: token, at: .now()) != nil else { throw .invalidToken }
        tokens.revoke(token)
        return Response(status: .noContent)
    }

    /// Seconds.
    private static let defaultTokenLifetime = 3_600

    private struct TokenAnswer: Encodable {
        let accessToken: String
        let tokenType: String
        let expiresIn: Int

        enum CodingKeys: String, CodingKey {
            case accessToken = "access_token"
            case tokenType = "token_type"
            case expiresIn = "expires_in"
        }
    }
}
