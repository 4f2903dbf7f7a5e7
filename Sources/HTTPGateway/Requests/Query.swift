package import MQTTCodec

/// The parameters of a query, `name=value&…`, decoded once.
///
/// Names not known are left alone.
package struct Query: Sendable {
    private var items: [(name: String, value: [UInt8])] = []

    /// - Throws: 400 when it can't be decoded.
    package init(_ query: String?) throws(Problem) {
        guard let query else { return }
        for item in query.split(separator: "&") {
            let mark = item.firstIndex(of: "=") ?? item.endIndex
            guard let name = PercentEncoding.decode(item[..<mark]).flatMap({ String(validating: $0, as: UTF8.self) }),
                let value = PercentEncoding.decode(mark == item.endIndex ? "" : item[item.index(after: mark)...])
            else { throw .badRequest("the query is not percent-encoded: \(item)") }
            items.append((name, value))
        }
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
