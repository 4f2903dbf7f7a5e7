package import BrokerCore
import HTTPServer
package import MQTTCodec

/// The parameters of a query, `name=value&…`, decoded once.
///
/// They are encoded as forms are (the URL standard §5.1): a `+` is a space, which is what `URLSearchParams`, curl's
/// `--data-urlencode` and all libraries write. In a topic, one that is a level by itself is the wildcard that people type.
package struct Query: Sendable {
    private var items: [(name: String, value: [UInt8])] = []

    /// - Throws: 400 when it can't be decoded.
    package init(_ query: String?) throws(Problem) {
        guard let query else { return }
        for item in query.pieces(between: UInt8(ascii: "&")) where !item.isEmpty {
            let (encodedName, encodedValue) = item.parted(at: UInt8(ascii: "="))
            guard let name = PercentEncoding.decode(encodedName).flatMap({ String(validating: $0, as: UTF8.self) }),
                let value = Self.value(encodedValue ?? "", of: name)
            else { throw .badRequest("the query is not percent-encoded: \(item)") }
            items.append((name, value))
        }
    }

    private static let topics: KnownNames = ["topic", "response_topic"]

    private static func value(_ text: Substring, of name: String) -> [UInt8]? {
        guard text.utf8.contains(UInt8(ascii: "+")) else { return PercentEncoding.decode(text) }
        var bytes = Array(text.utf8)
        let isTopic = topics.contains(name)
        for place in bytes.indices where bytes[place] == UInt8(ascii: "+") {
            if isTopic, beginsLevel(bytes[..<place]), endsLevel(bytes[(place + 1)...]) { continue }
            bytes[place] = UInt8(ascii: " ")
        }
        return PercentEncoding.decode(bytes)
    }

    /// Whether a level of a topic begins after these bytes, which are not decoded.
    private static func beginsLevel(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.isEmpty || bytes.last == UInt8(ascii: "/") || isSlash(bytes.suffix(3))
    }

    private static func endsLevel(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.isEmpty || bytes.first == UInt8(ascii: "/") || isSlash(bytes.prefix(3))
    }

    private static func isSlash(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.elementsEqual("%2F".utf8) || bytes.elementsEqual("%2f".utf8)
    }

    /// Refuses parameters that nothing has read: otherwise a typing error would go unnoticed.
    ///
    /// - Throws: 400 with what was meant.
    package func check(_ known: KnownNames) throws(Problem) {
        // What libraries add to get past caches.
        guard let other = items.first(where: { !known.contains($0.name) && $0.name != "_" }) else { return }
        throw .badRequest("\(other.name.prefix(64)): unknown parameter; \(known.hint(for: other.name))")
    }

    /// The value of a parameter that can be given once, as bytes.
    ///
    /// - Throws: 400 when it is given twice.
    package func bytes(_ name: String) throws(Problem) -> [UInt8]? {
        var found: [UInt8]?
        for item in items where item.name == name {
            guard found == nil else { throw .badRequest("\(name) is given twice") }
            found = item.value
        }
        return found
    }

    /// The value of a parameter that can be given once.
    ///
    /// - Throws: 400 when it is given twice, or not UTF-8.
    package func string(_ name: String) throws(Problem) -> String? {
        guard let bytes = try bytes(name) else { return nil }
        return try text(bytes, name)
    }

    /// All values of a parameter, in order.
    ///
    /// - Throws: 400 when one is not UTF-8.
    package func strings(_ name: String) throws(Problem) -> [String] {
        var values: [String] = []
        for item in items where item.name == name { values.append(try text(item.value, name)) }
        return values
    }

    /// A whole number.
    ///
    /// - Throws: 400 when it is none, or not in the range.
    package func integer(_ name: String, in range: ClosedRange<Int>) throws(Problem) -> Int? {
        guard let text = try string(name) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw .badRequest("\(name) must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// A switch: `1`, `true`, or the bare name; `0` or `false`.
    ///
    /// - Throws: 400 when it is something else.
    package func flag(_ name: String) throws(Problem) -> Bool? {
        switch try string(name) {
        case nil: return nil
        case "1", "true", "": return true
        case "0", "false": return false
        default: throw .badRequest("\(name) must be 0 or 1")
        }
    }

    /// A Quality of Service.
    ///
    /// - Throws: 400 when it is none.
    package func qos() throws(Problem) -> QoS? {
        try integer("qos", in: 0...2).flatMap { QoS(rawValue: UInt8($0)) }
    }

    private func text(_ bytes: [UInt8], _ name: String) throws(Problem) -> String {
        guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw .badRequest("\(name) is not UTF-8 text")
        }
        return text
    }
}
