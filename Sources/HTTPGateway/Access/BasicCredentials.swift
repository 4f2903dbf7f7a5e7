import BrokerCore
import FoundationEssentials
import NIOCore

/// User name and password of a request (RFC 7617).
package struct BasicCredentials: Sendable, Hashable {
    package let userName: String
    package let password: [UInt8]

    /// - Parameter authorization: the field's value; nil without one.
    /// - Returns: nil when the request carries none.
    /// - Throws: 401 when they are of another scheme or can't be read.
    package static func from(_ authorization: String?) throws(Problem) -> BasicCredentials? {
        guard let authorization else { return nil }
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic" else {
            throw .unauthorized("the credentials are not of the scheme Basic")
        }
        guard let decoded = Data(base64Encoded: String(parts[1])),
            let colon = decoded.firstIndex(of: UInt8(ascii: ":")),
            let userName = String(validating: decoded[..<colon], as: UTF8.self)
        else { throw .unauthorized("the credentials are not user name, colon and password in base64") }
        return BasicCredentials(userName: userName, password: Array(decoded[(colon + 1)...]))
    }
}

extension ConnectRequest {
    /// Says who the client is.
    mutating func identify(_ credentials: BasicCredentials?) {
        userName = credentials?.userName
        password = credentials.map { ByteBuffer(bytes: $0.password) }
    }
}
