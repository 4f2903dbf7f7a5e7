import FoundationEssentials
package import MQTTCodec

/// User Properties as an object; a name that is given more than once has an array.
package struct UserPropertyMap: Codable, Equatable, Sendable {
    private enum Value: Codable, Equatable, Sendable {
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

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .one(let value): try container.encode(value)
            case .many(let values): try container.encode(values)
            }
        }
    }

    private let values: [String: Value]

    package init(_ properties: [UserProperty]) {
        values = Dictionary(grouping: properties, by: \.name).mapValues { same in
            same.count == 1 ? .one(same[0].value) : .many(same.map(\.value))
        }
    }

    package init(from decoder: any Decoder) throws {
        values = try decoder.singleValueContainer().decode([String: Value].self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(values)
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
