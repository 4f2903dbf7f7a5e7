import FoundationEssentials
package import MQTTCodec

/// User Properties as an object; a name that is given more than once has an array.
package struct UserPropertyMap: Decodable, Sendable {
    private enum Value: Decodable, Sendable {
        case one(String)
        case many([String])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let one = try? container.decode(String.self) {
                self = .one(one)
            } else {
                self = .many(try container.decode([String].self))
            }
        }
    }

    private let values: [String: Value]

    package init(from decoder: any Decoder) throws {
        values = try decoder.singleValueContainer().decode([String: Value].self)
    }

    /// In the order of their names.
    package var properties: [UserProperty] {
        values.sorted { $0.key < $1.key }.flatMap { name, value in
            switch value {
            case .one(let value): [UserProperty(name, value)]
            case .many(let values): values.map { UserProperty(name, $0) }
            }
        }
    }
}
