import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct TopicTests {
    private static let nameTable: [(name: String, error: TopicError?)] = [
        ("a", nil), ("/", nil), ("//", nil), ("a/", nil), ("/a", nil), ("a b/c", nil), ("$SYS/x", nil), ("Ä/ö", nil),
        ("\u{FEFF}", nil), (String(repeating: "x", count: 65_535), nil), ("", .empty),
        (String(repeating: "x", count: 65_536), .tooLong), ("a\u{0}b", .containsNull), ("a/+", .wildcardInName),
        ("#", .wildcardInName), ("a+b", .wildcardInName), ("ä#", .wildcardInName),
    ]

    @Test("[MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3] knows a Topic Name", arguments: nameTable)
    func names(_ name: String, _ error: TopicError?) throws {
        if let error {
            #expect(throws: error) { try TopicName(name) }
        } else {
            #expect(try TopicName(name).string == name)
        }
        // The check on bytes has no words, and no other mind.
        let isValid = TopicName.validate(name.utf8Span.span.bytes)
        #expect(isValid == (error == nil))
    }

    private static let filterTable: [(filter: String, error: TopicError?)] = [
        ("a", nil), ("/", nil), ("#", nil), ("+", nil), ("+/+", nil), ("/+", nil), ("a/#", nil), ("+/a/#", nil),
        ("a/+/b", nil), ("/#", nil), ("$SYS/#", nil), ("$share", nil), ("$share/g/a", nil), ("$share/g/#", nil),
        ("$share/g//a", nil), ("$sharex/g", nil), ("", .empty), (String(repeating: "+/", count: 32_768), .tooLong),
        ("a\u{0}", .containsNull), ("a+", .wildcardInsideLevel), ("+a", .wildcardInsideLevel),
        ("a/b#", .wildcardInsideLevel), ("##", .wildcardInsideLevel), ("a/+b/c", .wildcardInsideLevel),
        ("#/a", .multiLevelWildcardNotLast), ("a/#/b", .multiLevelWildcardNotLast), ("#/", .multiLevelWildcardNotLast),
        ("$share/", .shareNameInvalid), ("$share//a", .shareNameInvalid), ("$share/+/a", .shareNameInvalid),
        ("$share/g#/a", .shareNameInvalid), ("$share/g", .shareWithoutFilter), ("$share/g/", .shareWithoutFilter),
        ("$share/g/a#", .wildcardInsideLevel),
    ]

    // [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
    @Test("knows a Topic Filter", arguments: filterTable)
    func filters(_ filter: String, _ error: TopicError?) throws {
        if let error {
            #expect(throws: error) { try TopicFilter(filter) }
        } else {
            #expect(try TopicFilter(filter).string == filter)
        }
    }

    @Test("[MQTT-4.8.2-2] tells the ShareName from the filter")
    func share() throws {
        let shared = try TopicFilter("$share/group/a/+")
        #expect(shared.shareName == "group")
        #expect(shared.filter == "a/+")
        #expect(shared.hasWildcards)
        let plain = try TopicFilter("$share")
        #expect(plain.shareName == nil)
        #expect(plain.filter == "$share")
        #expect(!plain.hasWildcards)
        #expect(try TopicFilter("$share/g//").filter == "/")
        // To Swift, a slash and a combining mark are one character.
        let accented = try TopicFilter("$share/a/\u{301}b/c")
        #expect(accented.shareName == "a")
        #expect(accented.filter.utf8.elementsEqual("\u{301}b/c".utf8))
        #expect(throws: TopicError.shareNameInvalid) { try TopicFilter("$share/+\u{301}/c") }
    }

    /// The examples of MQTT 5.0 §4.7, and what they leave open.
    private static let matchTable: [(filter: String, topic: String, isMatch: Bool)] = [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true), ("sport/#", "sports", false), ("#", "a/b/c", true), ("#", "/", true),
        ("sport/tennis/+", "sport/tennis/player1", true), ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false), ("sport/+", "sport/", true), ("+/+", "/finance", true), ("/+", "/finance", true),
        ("+", "/finance", false), ("+/tennis/#", "sport/tennis", true), ("+", "a", true), ("+/", "a/", true),
        ("a//b", "a//b", true), ("a/+/b", "a//b", true), ("a/b", "a//b", false), ("/a", "a", false), ("a", "/a", false),
        ("a/", "a", false), ("ACCOUNTS", "Accounts", false), ("#", "$SYS/x", false), ("+/x", "$SYS/x", false),
        ("$SYS/#", "$SYS/x", true), ("$SYS/+", "$SYS/x", true), ("$SYS/#", "$SYS", true), ("+", "$SYS", false),
        ("+/$x", "a/$x", true), ("a/#", "a/$SYS", true), ("$share/g/a/+", "a/b", true), ("$share/g/#", "$SYS/x", false),
        // [MQTT-4.7.3-4]: no normalization; é in one scalar is not é in two.
        ("caf\u{E9}", "caf\u{E9}", true), ("caf\u{E9}", "cafe\u{301}", false),
    ]

    @Test("[MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.2-1] [MQTT-4.7.3-4] matches topics", arguments: matchTable)
    func matches(_ filter: String, _ topic: String, _ isMatch: Bool) throws {
        #expect(try TopicFilter(filter).matches(try TopicName(topic)) == isMatch)
    }

    @Test("[MQTT-4.7.3-4] two topics are one only when their bytes are")
    func equality() throws {
        #expect(try TopicName("caf\u{E9}") != TopicName("cafe\u{301}"))
        #expect(try TopicFilter("caf\u{E9}/#") != TopicFilter("cafe\u{301}/#"))
        #expect(try TopicName("caf\u{E9}") == TopicName("caf\u{E9}"))
        #expect(Set([try TopicName("caf\u{E9}"), try TopicName("cafe\u{301}")]).count == 2)
    }
}
