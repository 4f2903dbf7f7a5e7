/// The claims of a JSON Web Token (RFC 7519 §4), by name.
struct TokenClaims: Decodable {
    /// What a claim may be, as far as anybody asks.
    enum Value: Equatable {
        case text(String)
        case texts([String])
        case number(Double)
        case other
    }

    private let values: [String: Value]

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Name.self)
        values = container.allKeys.reduce(into: [:]) { values, name in
            if let text = try? container.decode(String.self, forKey: name) {
                values[name.stringValue] = .text(text)
            } else if let number = try? container.decode(Double.self, forKey: name) {
                values[name.stringValue] = .number(number)
            } else if let texts = try? container.decode([String].self, forKey: name) {
                values[name.stringValue] = .texts(texts)
            } else {
                values[name.stringValue] = .other
            }
        }
    }

    /// nil without it.
    subscript(name: String) -> Value? { values[name] }

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}
