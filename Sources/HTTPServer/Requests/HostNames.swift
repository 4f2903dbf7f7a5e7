import CoreRuntime
import NIOCore
import NetworkListeners

/// The names under which a listener serves (RFC 9110 §7.2).
///
/// A page whose owner lets its name point to our address (DNS rebinding) is of our own origin to the browser, and reads
/// what we answer: only the name tells it from ours. So a listener that nobody but this machine reaches serves under names
/// that nobody else can give, and others serve under those they are given, if any.
package struct HostNames: Sendable {
    private let names: Set<String>
    private let bound: IPAddress?
    /// Whether there are others, which are refused.
    package let isRestricted: Bool

    /// - Parameters:
    ///   - names: without ports; what an address is bound to and the names of loopback need not be among them.
    ///   - bound: the address that is listened on.
    package init(_ names: [String], bound: String) {
        self.names = Set(names.map { $0.lowercased() } + [bound.lowercased()])
        self.bound = IPAddress(bound)
        isRestricted = !names.isEmpty || self.bound?.isLoopback ?? false
    }

    /// Whether requests to a host are served.
    ///
    /// - Parameters:
    ///   - authority: a name or address, and a port if there is one, which may be a proxy's.
    ///   - local: this end of the connection.
    func include(_ authority: String, local: SocketAddress?) -> Bool {
        guard isRestricted else { return true }
        guard let name = Self.name(in: authority) else { return false }
        if name == "localhost" || name.hasSuffix(".localhost") || names.contains(name) { return true }
        guard let address = IPAddress(name) else { return false }
        return address.isLoopback || address == bound || local.flatMap(IPAddress.init) == address
    }

    /// Whether a text is a name or an address, and nothing more.
    package static func isName(_ text: String) -> Bool {
        IPAddress(text) != nil
            || (name(in: text) == text.lowercased()
                && text.utf8.allSatisfy {
                    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._".utf8.contains($0)
                })
    }

    /// The host of an authority, in lower case: `localhost` of `LOCALHOST.:8080`, `::1` of `[::1]:8080`.
    ///
    /// - Returns: nil when it is none.
    package static func name(in authority: String) -> String? {
        let text = authority.utf8
        let host: Substring.UTF8View
        let rest: Substring.UTF8View
        if text.first == UInt8(ascii: "["), let end = text.firstIndex(of: UInt8(ascii: "]")) {
            host = text[text.index(after: text.startIndex)..<end]
            rest = text[text.index(after: end)...]
        } else {
            let end = text.firstIndex(of: UInt8(ascii: ":")) ?? text.endIndex
            host = text[..<end]
            rest = text[end...]
        }
        let isPort = rest.first == UInt8(ascii: ":") && rest.dropFirst().allSatisfy { (0x30...0x39).contains($0) }
        guard rest.isEmpty || isPort, !host.isEmpty else { return nil }
        // A name with the root's dot is the same name.
        let isRooted = host.last == UInt8(ascii: ".")
        return String(Substring(isRooted ? host.dropLast() : host)).lowercased()
    }
}

extension IPAddress {
    fileprivate var isLoopback: Bool {
        bytes.count == 4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
    }
}
