/// Something that an operator of the broker may want to know: a line of its log.
///
/// Its kind, its message and the names of its fields are fixed, so that programs can read them; docs/EVENTS.md lists
/// them. Text of clients is in the fields' values alone, which are cut.
package struct Event: Sendable {
    package let kind: Kind
    package let level: Level
    /// The fields that have a value.
    package let fields: [Field]

    package init(_ kind: Kind, level: Level? = nil, _ fields: [Field]) {
        self.kind = kind
        self.level = level ?? kind.level
        self.fields = fields.filter { $0.value != nil }
    }

    /// The importance of an event, in the order of the log's levels.
    package enum Level: Int, Comparable, Sendable {
        case debug
        case info
        case notice
        case warning
        case error

        package static func < (one: Level, other: Level) -> Bool { one.rawValue < other.rawValue }
    }

    /// The value of a field.
    package enum Value: Sendable, Equatable {
        case text(String)
        case number(Int)
    }

    /// A key with its value.
    package struct Field: Sendable {
        package let key: Key
        /// The value; nil when there is none.
        package let value: Value?

        private init(_ key: Key, _ text: String?) {
            self.key = key
            value = text.map { .text($0.cut(after: key.maximumLength)) }
        }

        private init(_ key: Key, number: Int?) {
            self.key = key
            value = number.map { .number($0) }
        }

        /// - Parameter identifier: empty when the client has given none.
        package static func clientID(_ identifier: String?) -> Field {
            Field(.clientID, identifier?.isEmpty == true ? nil : identifier)
        }
        package static func userName(_ name: String?) -> Field { Field(.userName, name) }
        package static func protocolName(_ name: String) -> Field { Field(.protocolName, name) }
        /// - Parameter address: in the form of `ClientAddress`; empty when it is not known.
        package static func address(_ address: String) -> Field { Field(.address, address.isEmpty ? nil : address) }
        package static func port(_ port: Int) -> Field { Field(.port, number: port) }
        package static func action(_ action: Action) -> Field { Field(.action, action.rawValue) }
        /// - Parameter topic: a Topic Name, or the Topic Filter of a subscription.
        package static func topic(_ topic: String) -> Field { Field(.topic, topic) }
        package static func rule(_ rule: String?) -> Field { Field(.rule, rule) }
        /// - Parameter words: a few words, mostly a Reason Code's name.
        package static func reason(_ words: String) -> Field { Field(.reason, words) }
        /// - Parameter code: an MQTT Reason Code, or an HTTP status.
        package static func reasonCode(_ code: Int) -> Field { Field(.reasonCode, number: code) }
        /// - Parameter words: the details, in the broker's words; may quote the client.
        package static func detail(_ words: String?) -> Field { Field(.detail, words) }
        package static func limit(_ name: String) -> Field { Field(.limit, name) }
        package static func count(_ count: Int) -> Field { Field(.count, number: count) }
        package static func kind(_ kind: Kind) -> Field { Field(.kind, kind.rawValue) }
        package static func webhook(_ name: String) -> Field { Field(.webhook, name) }
        package static func path(_ path: String) -> Field { Field(.path, path) }
        package static func keys(_ names: String) -> Field { Field(.keys, names) }
        package static func origin(_ origin: String?) -> Field { Field(.origin, origin) }
        package static func method(_ name: String) -> Field { Field(.method, name) }
    }

    /// A client's action.
    package enum Action: String, Sendable {
        case publish
        case subscribe
        /// The publication of its will.
        case will
        case read
        case connect
    }
}

extension String {
    /// The given number of characters, and the number of bytes if the text is longer.
    ///
    /// It reads no more than these characters: a client may send a megabyte.
    fileprivate func cut(after count: Int) -> String {
        guard utf8.count > count else { return self }
        let head = unicodeScalars.prefix(count)
        guard head.endIndex < endIndex else { return self }
        return "\(String(head))… (\(utf8.count) bytes)"
    }
}
