import BrokerCore
import FoundationEssentials
import JSONMessages
import MQTTCodec
import NIOCore

/// Reads one JSON object strictly, as the configuration is read: every field has a type and a range, and one that nobody
/// asked for is a problem.
struct JSONFields {
    /// What a text is read with.
    struct Reading: Sendable {
        let text: JSONText
        /// Topics that one operation may name.
        var maximumFilters = Int.max

        init(_ text: ByteBuffer, maximumFilters: Int = .max) {
            self.text = JSONText(text)
            self.maximumFilters = maximumFilters
        }

        fileprivate static var key: CodingUserInfoKey? { CodingUserInfoKey(rawValue: "reading") }
    }

    private let container: KeyedDecodingContainer<Name>
    let reading: Reading?
    /// Of the object in a list that is the whole text.
    private let place: Int?
    private let path: [String]
    private var known: KnownNames = []

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }

        init?(intValue: Int) { nil }
    }

    /// - Parameters:
    ///   - place: of the object in a list that is the whole text.
    ///   - path: names from the text, or the place in it, down to the object.
    /// - Throws: 422 when the value is no object.
    init(_ decoder: any Decoder, place: Int? = nil, path: [String] = []) throws(Problem) {
        do {
            container = try decoder.container(keyedBy: Name.self)
        } catch {
            throw Problem(decoding: error, path.isEmpty ? "the JSON must be an object" : "must be an object", path)
        }
        reading = Reading.key.flatMap { decoder.userInfo[$0] } as? Reading
        self.place = place
        self.path = path
    }

    /// Decodes a text whose objects are read by this.
    ///
    /// - Throws: 400 when it is no JSON, and whatever the value's own reading throws.
    static func decode<Value: Decodable>(
        _ type: Value.Type,
        _ text: ByteBuffer,
        _ reading: Reading
    ) throws(Problem) -> Value {
        do {
            return try JSON.decode(type, from: text, Reading.key, reading)
        } catch {
            throw Problem(decoding: error, "is no such value", [])
        }
    }

    // MARK: Values

    /// A whole number; nil when there is none.
    mutating func integer(_ name: String, in range: ClosedRange<Int>) throws(Problem) -> Int? {
        guard has(name) else { return nil }
        guard let number = try? container.decode(Int.self, forKey: Name(stringValue: name)), range.contains(number)
        else {
            throw problem(name, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// `true` or `false`, or 1 or 0 as in a query; nil when there is none.
    mutating func flag(_ name: String) throws(Problem) -> Bool? {
        guard has(name) else { return nil }
        let key = Name(stringValue: name)
        if let flag = try? container.decode(Bool.self, forKey: key) { return flag }
        switch try? container.decode(Int.self, forKey: key) {
        case 0: return false
        case 1: return true
        default: throw problem(name, "must be true or false")
        }
    }

    /// Text; nil when there is none.
    mutating func text(_ name: String) throws(Problem) -> String? {
        guard has(name) else { return nil }
        guard let text = try? container.decode(String.self, forKey: Name(stringValue: name)) else {
            throw problem(name, "must be text")
        }
        return text
    }

    /// One word of a few; nil when there is none.
    mutating func choice<Value: RawRepresentable & CaseIterable>(
        _ name: String,
        _ type: Value.Type
    ) throws(Problem) -> Value? where Value.RawValue == String {
        guard has(name) else { return nil }
        let text = try? container.decode(String.self, forKey: Name(stringValue: name))
        guard let value = text.flatMap(Value.init(rawValue:)) else {
            throw problem(name, "must be one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return value
    }

    /// The bytes of a text, or of any other value as it was written: JSON is a payload like any other.
    ///
    /// - Parameter encoding: of the text.
    mutating func payload(_ name: String, _ encoding: PayloadEncoding?) throws(Problem) -> ByteBuffer {
        guard has(name) else { throw missing(name) }
        if let text = try? container.decode(String.self, forKey: Name(stringValue: name)) {
            return try PublishEnvelope.bytes(text, encoding, (path + [name]).joined(separator: "."))
        }
        guard encoding != .base64 else { throw problem(name, "must be text in base64") }
        guard let raw = reading?.text.value(in: place, at: path + [name]) else {
            throw problem(name, "must be text or JSON")
        }
        return raw
    }

    /// A number or a text that names something; nil when there is none.
    mutating func label(_ name: String) throws(Problem) -> JSONLabel? {
        guard has(name) else { return nil }
        guard let label = try? container.decode(JSONLabel.self, forKey: Name(stringValue: name)) else {
            throw problem(name, "must be a whole number or text")
        }
        return label
    }

    /// An object; nil when there is none.
    mutating func object(_ name: String) throws(Problem) -> JSONFields? {
        guard has(name), let decoder = try? container.superDecoder(forKey: Name(stringValue: name)) else { return nil }
        return try JSONFields(decoder, place: place, path: path + [name])
    }

    /// A list, each value of which is a text or an object; nil when there is none.
    ///
    /// - Parameter maximum: values that are read, one more than that at most.
    mutating func list(_ name: String, maximum: Int) throws(Problem) -> [Element]? {
        guard has(name) else { return nil }
        guard var list = try? container.nestedUnkeyedContainer(forKey: Name(stringValue: name)) else {
            throw problem(name, "must be a list")
        }
        var elements: [Element] = []
        while !list.isAtEnd, elements.count <= maximum {
            if let text = try? list.decode(String.self) {
                elements.append(.text(text))
            } else if let decoder = try? list.superDecoder() {
                elements.append(.object(try JSONFields(decoder, path: path + ["\(name)[\(elements.count)]"])))
            } else {
                throw problem(name, "must be a list of texts or objects")
            }
        }
        return elements
    }

    enum Element {
        case text(String)
        case object(JSONFields)
    }

    /// The names and texts of an object whose names are anybody's; a list of texts is as many.
    mutating func pairs(_ name: String) throws(Problem) -> [(name: String, value: String)]? {
        guard has(name) else { return nil }
        guard let pairs = try? container.nestedContainer(keyedBy: Name.self, forKey: Name(stringValue: name)) else {
            throw problem(name, "must be an object")
        }
        var found: [(name: String, value: String)] = []
        for key in pairs.allKeys.sorted(by: { $0.stringValue < $1.stringValue }) {
            if let one = try? pairs.decode(String.self, forKey: key) {
                found.append((key.stringValue, one))
            } else if let many = try? pairs.decode([String].self, forKey: key) {
                found += many.map { (key.stringValue, $0) }
            } else {
                throw problem("\(name).\(key.stringValue.prefix(64))", "must be text, or a list of texts")
            }
        }
        return found
    }

    // MARK: Structure

    /// Whether a field has a value: null is none.
    mutating func has(_ name: String) -> Bool {
        known.insert(name)
        let key = Name(stringValue: name)
        return container.contains(key) && !((try? container.decodeNil(forKey: key)) ?? false)
    }

    /// To be called when all fields have been asked for.
    ///
    /// - Throws: 422 when there are others.
    func finish() throws(Problem) {
        guard let other = container.allKeys.first(where: { !known.contains($0.stringValue) }) else { return }
        let name = other.stringValue
        throw problem(String(name.prefix(64)), "unknown field; \(known.hint(for: name))")
    }

    func missing(_ name: String) -> Problem { problem(name, "is missing") }

    func problem(_ name: String, _ words: String) -> Problem {
        .unprocessable("\((path + [name]).joined(separator: ".")): \(words)", .malformedPacket)
    }
}

extension Problem {
    /// JSON that could not be read.
    ///
    /// - Parameter words: what is wrong when it is JSON.
    fileprivate init(decoding error: any Error, _ words: String, _ path: [String]) {
        switch error {
        case let problem as Problem: self = problem
        case DecodingError.typeMismatch, DecodingError.valueNotFound:
            let place = path.isEmpty ? "" : path.joined(separator: ".") + ": "
            self = .unprocessable(place + words, .malformedPacket)
        default: self = .notJSON
        }
    }
}
