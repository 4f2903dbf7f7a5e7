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

    /// Bytes of the list: links beyond them are found by a query that asks for fewer.
    package static let longest = 65_536
    /// Bytes of a topic that has a link: a longer one fits no request.
    private static let longestTopic = 1_024

    /// The links a query asks for.
    ///
    /// It is one `name=value`, the value with a `*` at its end for a prefix, or a name alone (RFC 6690 §4.1). What is no
    /// attribute of links asks for nothing.
    ///
    /// - Parameter messages: the retained messages the caller may read.
    package static func links(_ query: [String], _ messages: [Message]) -> String {
        let filter = query.lazy.compactMap(Filter.init).first
        var text = ""
        func add(_ link: Link) -> Bool {
            guard filter?.matches(link) ?? true else { return true }
            let piece = link.text
            guard text.utf8.count + piece.utf8.count < longest else { return false }
            if !text.isEmpty { text += "," }
            text += piece
            return true
        }
        guard add(Link(href: "/ps", rt: "core.ps", ct: 40)) else { return text }
        for message in messages where message.withBytes({ topic, _ in topic.byteCount <= longestTopic }) {
            guard let link = Link(message) else { continue }
            if !add(link) { break }
        }
        return text
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
            var text: [UInt8] = []
            for byte in segment.utf8 {
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                    UInt8(ascii: "~"):
                    text.append(byte)
                default: text += [UInt8(ascii: "%"), digit(byte >> 4), digit(byte & 0x0f)]
                }
            }
            return String(decoding: text, as: UTF8.self)
        }

        private static func digit(_ value: UInt8) -> UInt8 { value + UInt8(ascii: value < 10 ? "0" : "7") }
    }

    private struct Filter {
        let name: Substring
        /// Nil asks for links that have the attribute.
        let value: Substring?

        /// Nil for what is no attribute of a link: credentials, for one.
        init?(_ argument: String) {
            (name, value) = argument.parted(at: UInt8(ascii: "="))
            guard ["href", "rt", "ct", "obs", "if", "title", "sz"].contains(name) else { return nil }
        }

        func matches(_ link: Link) -> Bool {
            let found: String? =
                switch name {
                case "href": link.href
                case "rt": link.rt
                case "ct": link.ct.map(String.init)
                case "obs": link.isObservable ? "" : nil
                default: nil
                }
            guard let found else { return false }
            guard let value else { return true }
            guard value.utf8.last == UInt8(ascii: "*") else { return value.isSame(as: found) }
            return found.utf8.starts(with: value.utf8.dropLast())
        }
    }
}
