package import BrokerCore
import MQTTCodec
import NIOCore

/// `/.well-known/core`: what there is to find (RFC 6690, draft-ietf-core-coap-pubsub).
package enum WellKnownCore {
    /// Retained messages that are looked at for one answer: the core does nothing else meanwhile.
    static let examined = 1_000

    /// Refuses what can't be asked of it.
    static func check(_ request: CoAPRequest) throws(CoAPFailure) {
        guard request.code == .get else { throw CoAPFailure(.methodNotAllowed, "links can only be read") }
        guard request.accept == nil || request.accept == 40 else {
            throw CoAPFailure(.notAcceptable, "links are application/link-format")
        }
    }

    /// The links a query asks for: one `name=value`, the value with a `*` at its end for a prefix (RFC 6690 §4.1).
    ///
    /// - Parameter messages: the retained messages the caller may read.
    package static func links(_ query: [String], _ messages: [Message]) -> String {
        let filter = query.lazy.compactMap(Filter.init).first
        let links = [Link(href: "/ps", rt: "core.ps", ct: 40)] + messages.compactMap(Link.init)
        return links.filter { filter?.matches($0) ?? true }.map(\.text).joined(separator: ",")
    }

    private struct Link {
        let href: String
        let rt: String
        let ct: UInt16?
        var isObservable = false

        init(href: String, rt: String, ct: UInt16?) { (self.href, self.rt, self.ct) = (href, rt, ct) }

        /// Nil for a topic that fits no path.
        init?(_ message: Message) {
            let path = message.topic.locationPath(under: "ps")
            guard !path.isEmpty else { return nil }
            self.init(
                href: path.map { "/" + Self.encoded($0) }.joined(),
                rt: "core.ps.data",
                ct: Representation(message).contentFormat
            )
            isObservable = true
        }

        var text: String {
            "<\(href)>;rt=\"\(rt)\"" + (ct.map { ";ct=\($0)" } ?? "") + (isObservable ? ";obs" : "")
        }

        /// Percent-encoded but for RFC 3986's unreserved characters.
        private static func encoded(_ segment: String) -> String {
            var text = ""
            for byte in segment.utf8 {
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                    UInt8(ascii: "~"):
                    text.unicodeScalars.append(Unicode.Scalar(byte))
                default: text += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
                }
            }
            return text
        }
    }

    private struct Filter {
        let name: Substring
        let value: Substring

        /// Nil for what is no attribute of a link: credentials, for one.
        init?(_ argument: String) {
            let (name, value) = argument.parted(at: UInt8(ascii: "="))
            guard let value, ["href", "rt", "ct", "obs", "if", "title", "sz"].contains(name) else { return nil }
            (self.name, self.value) = (name, value)
        }

        func matches(_ link: Link) -> Bool {
            let found: String? =
                switch name {
                case "href": link.href
                case "rt": link.rt
                case "ct": link.ct.map(String.init)
                default: nil
                }
            guard let found else { return false }
            guard value.utf8.last == UInt8(ascii: "*") else { return value.isSame(as: found) }
            return found.utf8.starts(with: value.utf8.dropLast())
        }
    }
}
