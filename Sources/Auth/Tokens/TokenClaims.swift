import MQTTCodec

/// The claims of a JSON Web Token (RFC 7519 §4), by name.
struct TokenClaims: Decodable {
    /// What a claim may be, as far as anybody asks.
    enum Value: Equatable {
        case text(ExactText)
        case texts([ExactText])
        case number(Double)
        case other
    }

    private let values: [ExactText: Value]

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Name.self)
        values = container.allKeys.reduce(into: [:]) { values, name in
            if let text = try? container.decode(String.self, forKey: name) {
                values[ExactText(name.stringValue)] = .text(ExactText(text))
            } else if let number = try? container.decode(Double.self, forKey: name) {
                values[ExactText(name.stringValue)] = .number(number)
            } else if let texts = try? container.decode([String].self, forKey: name) {
                values[ExactText(name.stringValue)] = .texts(texts.map { ExactText($0) })
            } else {
                values[ExactText(name.stringValue)] = .other
            }
        }
    }

    /// nil without it.
    subscript(name: String) -> Value? { values[ExactText(name)] }

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}
