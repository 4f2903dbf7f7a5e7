import BrokerCore
import MQTTCodec

/// Who may read and write which topics, in the format of mosquitto's access control files.
///
/// - `topic [read|write|readwrite|deny] FILTER` is a rule for the user of the last `user NAME` line; above the first one,
///   for anonymous clients.
/// - `pattern [read|write|readwrite|deny] FILTER` is a rule for everybody, in which `%u` is the user name and `%c` the
///   Client Identifier.
///
/// Nothing is allowed that no rule allows. A user's own rules come before patterns, and denials before grants.
package struct AccessControlList: Sendable {
    struct Rules: Sendable {
        var denials: [TopicRule] = []
        var grants: [TopicRule] = []
    }

    private var anonymous = Rules()
    private var users: [ExactText: Rules] = [:]
    private var patterns = Rules()

    /// Reads a file's text.
    ///
    /// - Throws: everything that is wrong with it.
    package init(_ text: String) throws(AccessFileRefused) {
        var list = Self()
        var user: ExactText?
        try text.forEachAccessLine { number, line in
            let (keyword, rest) = line.firstWord
            switch keyword {
            case "user":
                guard !rest.isEmpty else { return "the user name is missing" }
                user = ExactText(rest)
            case "topic", "pattern":
                return list.add(rest, to: keyword == "pattern" ? .patterns : .user(user), line: number)
            default: return "must begin with user, topic or pattern, not '\(keyword)'"
            }
            return nil
        }
        self = list
    }

    private init() {}

    // MARK: Reading

    private enum Section {
        case user(ExactText?)
        case patterns
    }

    /// - Returns: what is wrong with the rule; nil when nothing is.
    private mutating func add(_ text: Substring, to section: Section, line: Int) -> String? {
        var filter = text
        var access: Access = [.read, .write]
        let (word, rest) = text.firstWord
        // A single word is a filter, whatever it says.
        if !rest.isEmpty {
            switch word {
            case "read": access = .read
            case "write": access = .write
            case "readwrite": break
            case "deny": access = []
            default: return "must be read, write, readwrite or deny before the topic, not '\(word)'"
            }
            filter = rest
        }
        guard !filter.isEmpty else { return "the topic is missing" }
        do throws(TopicError) {
            _ = try TopicFilter(String(filter))
        } catch {
            return "\(error)"
        }
        switch section {
        case .patterns: patterns.add(TopicRule(String(filter), isPattern: true, access: access, line: line))
        case .user(nil): anonymous.add(TopicRule(String(filter), isPattern: false, access: access, line: line))
        case .user(let name?):
            users[name, default: Rules()].add(TopicRule(String(filter), isPattern: false, access: access, line: line))
        }
        return nil
    }

    // MARK: Asking

    /// Whether the client may do that with the topic.
    func allows(_ access: Access, _ topic: RawSpan, _ client: ClientIdentity) -> Bool {
        if let rules = rules(of: client), let answer = rules.answer(access, topic, client) { return answer }
        guard !patterns.isEmpty, client.fitsPatterns else { return false }
        return patterns.answer(access, topic, client) ?? false
    }

    /// Whether the client may read some of the topics that match the filter, as far as the grants say.
    func mayReadSome(_ filter: RawSpan, _ client: ClientIdentity) -> Bool {
        if let rules = rules(of: client), rules.grantsSome(filter, client) { return true }
        return !patterns.isEmpty && client.fitsPatterns && patterns.grantsSome(filter, client)
    }

    /// Number of rules.
    package var count: Int {
        anonymous.count + patterns.count + users.values.reduce(0) { $0 + $1.count }
    }

    /// The line of the denial that is about a topic; nil when nothing allows it either.
    func lineOfDenial(_ topic: RawSpan, _ client: ClientIdentity) -> Int? {
        rules(of: client)?.denial(topic, client)?.line
            ?? (client.fitsPatterns ? patterns.denial(topic, client)?.line : nil)
    }

    private func rules(of client: ClientIdentity) -> Rules? {
        guard let userName = client.userName else { return anonymous }
        return users[ExactText(userName)]
    }
}

extension AccessControlList.Rules {
    var isEmpty: Bool { denials.isEmpty && grants.isEmpty }

    var count: Int { denials.count + grants.count }

    func denial(_ topic: RawSpan, _ client: ClientIdentity) -> TopicRule? {
        denials.first { $0.matches(topic, client) }
    }

    mutating func add(_ rule: TopicRule) {
        if rule.access.isEmpty { denials.append(rule) } else { grants.append(rule) }
    }

    /// - Returns: nil when no rule is about it.
    func answer(_ access: Access, _ topic: RawSpan, _ client: ClientIdentity) -> Bool? {
        if denials.contains(where: { $0.matches(topic, client) }) { return false }
        return grants.contains { $0.access.contains(access) && $0.matches(topic, client) } ? true : nil
    }

    func grantsSome(_ filter: RawSpan, _ client: ClientIdentity) -> Bool {
        grants.contains { $0.access.contains(.read) && $0.overlaps(filter, client) }
    }
}

extension ClientIdentity {
    /// A name with a wildcard in it would make a pattern match what it is not meant to.
    fileprivate var fitsPatterns: Bool {
        func isPlain(_ name: String) -> Bool {
            !name.utf8.contains { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }
        }
        return isPlain(clientID) && isPlain(userName ?? "")
    }
}

extension Substring {
    /// What comes before the first blanks, and what comes after them.
    fileprivate var firstWord: (word: Substring, rest: Substring) {
        func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        let end = utf8.firstIndex(where: isBlank) ?? endIndex
        return (self[..<end], Substring(utf8[end...].drop(while: isBlank)))
    }
}
