import BrokerCore
import FoundationEssentials
import MQTTCodec
import NIOCore

/// User name and password of a request (RFC 7617).
package struct BasicCredentials: Sendable, Equatable {
    package let userName: String
    package let password: [UInt8]

    package init(userName: String, password: [UInt8]) {
        self.userName = userName
        self.password = password
    }

    /// Reads the part after the scheme.
    ///
    /// - Throws: 401 when it can't be read.
    init(basic text: String) throws(Problem) {
        guard let decoded = Data(base64Encoded: text),
            let colon = decoded.firstIndex(of: UInt8(ascii: ":")),
            let userName = String(validating: decoded[..<colon], as: UTF8.self)
        else { throw .unauthorized("the credentials are not user name, colon and password in base64") }
        self.init(userName: userName, password: Array(decoded[(colon + 1)...]))
    }
}

/// What a request shows to say who makes it (RFC 9110 §11.4).
package enum Authorization: Sendable, Equatable {
    case none
    case basic(BasicCredentials)
    /// A token (RFC 6750 §2.1).
    case bearer(String)

    /// - Parameter field: the value of Authorization; nil without one.
    /// - Throws: 401 when it is of another scheme or can't be read.
    package init(_ field: String?) throws(Problem) {
        guard let field else {
            self = .none
            return
        }
        let (scheme, shown) = field.parted(at: UInt8(ascii: " "))
        switch (scheme.lowercased(), shown?.trimmed) {
        case ("basic", let shown?): self = .basic(try BasicCredentials(basic: shown))
        case ("bearer", let shown?): self = .bearer(shown)
        default: throw .unauthorized("the credentials are of the scheme neither Basic nor Bearer")
        }
    }
}

/// What a client shows to be let in.
package enum RequestCredentials: Sendable {
    case basic(BasicCredentials)
    /// A JSON Web Token or API key, which the broker's authenticator knows or does not.
    case token(String)
}

extension ConnectRequest {
    /// Says who the client is.
    mutating func identify(_ credentials: RequestCredentials?) {
        switch credentials {
        case nil: break
        case .basic(let basic):
            userName = basic.userName
            password = ByteBuffer(bytes: basic.password)
        case .token(let token):
            password = ByteBuffer(string: token)
            isToken = true
        }
    }
}
