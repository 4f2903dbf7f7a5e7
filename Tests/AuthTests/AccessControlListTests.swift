import Auth
import BrokerCore
import BrokerTestSupport
import MQTTCodec
import Testing

@Suite struct AccessControlListTests {
    private func authorizer(_ text: String) throws -> ListAuthorizer { ListAuthorizer(try AccessControlList(text)) }

    /// What a client may do with a topic: `r`, `w`, both or nothing.
    private func access(_ authorizer: ListAuthorizer, _ topic: String, user: String?, client: String = "c") -> String {
        let client = ClientIdentity(clientID: client, userName: user)
        return (authorizer.mayReceive(topic, client: client) ? "r" : "")
            + (authorizer.mayPublish(topic, client: client) ? "w" : "")
    }

    private static let house = """
        # anonymous clients
        topic read public/#
        topic readwrite $SYS/#

        user alice
        topic read sensors/#
        topic write commands/+/set
        topic notes
        topic deny sensors/secret/#
        topic read with blanks/a b

        user bob
        topic readwrite #

        pattern readwrite devices/%u/%c/#
        pattern read by-client/%c
        pattern write log-%u-%c
        pattern deny devices/+/c/hidden
        """

    @Test(
        "rules are looked up as mosquitto does",
        arguments: [
            (nil, "public/a", "r"), (nil, "public", "r"), (nil, "sensors/a", ""), (nil, "$SYS/broker/uptime", "rw"),
            ("alice", "public/a", ""), ("alice", "sensors/a/b", "r"), ("alice", "sensors", "r"),
            ("alice", "sensorsx", ""), ("alice", "sensors/secret", ""), ("alice", "sensors/secret/x", ""),
            ("alice", "sensors/secrets", "r"), ("alice", "commands/lamp/set", "w"), ("alice", "commands//set", "w"),
            ("alice", "commands/set", ""), ("alice", "commands/a/b/set", ""), ("alice", "notes", "rw"),
            ("alice", "notes/a", ""), ("alice", "with blanks/a b", "r"), ("alice", "$SYS/broker/uptime", ""),
            ("bob", "anything/at/all", "rw"), ("bob", "$SYS/broker/uptime", ""),
            ("alice", "devices/alice/c/x", "rw"), ("alice", "devices/alice/c", "rw"),
            ("alice", "devices/alice/d/x", ""),
            ("alice", "devices/bob/c/x", ""), ("alice", "by-client/c", "r"), (nil, "by-client/c", "r"),
            (nil, "devices//c/x", ""), ("carol", "devices/carol/c/x", "rw"), ("carol", "log-carol-c", "w"),
            ("carol", "devices/carol/c/hidden", ""), ("bob", "devices/bob/c/hidden", "rw"), ("ALICE", "notes", ""),
        ] as [(String?, String, String)]
    )
    func rulesLookedUpMosquitto(user: String?, topic: String, allowed: String) throws {
        #expect(access(try authorizer(Self.house), topic, user: user) == allowed)
    }

    @Test("a name with a wildcard in it never becomes part of a pattern") func nameWildcardNeverBecomes() throws {
        let authorizer = try authorizer("pattern readwrite devices/%u/#\npattern readwrite own/%c\npattern read all")
        #expect(access(authorizer, "devices/bob/x", user: "+") == "")
        #expect(access(authorizer, "devices/bob/x", user: "#") == "")
        #expect(access(authorizer, "own/d", user: "a", client: "+") == "")
        #expect(access(authorizer, "all", user: "a", client: "x/#") == "")
        #expect(access(authorizer, "all", user: "a") == "r")
    }

    @Test("nobody reaches reserved topics by being called so") func nobodyReachesReservedTopics() throws {
        let authorizer = try authorizer("pattern readwrite %u/#\npattern read %c/x")
        #expect(access(authorizer, "$SYS/x", user: "$SYS", client: "$SYS") == "")
        #expect(access(authorizer, "alice/x", user: "alice") == "rw")
    }

    @Test("sections of one user add up, and an empty list allows nothing") func sectionsOneUserAdd() throws {
        let authorizer = try authorizer("user a\ntopic read x\nuser b\ntopic read y\nuser a\ntopic write x\n")
        #expect(access(authorizer, "x", user: "a") == "rw")
        #expect(access(authorizer, "y", user: "a") == "")
        #expect(access(try self.authorizer(""), "x", user: nil) == "")
    }

    @Test(
        "a filter is refused when nothing that matches it may be read",
        arguments: [
            ("sensors/#", true), ("#", true), ("+/a", true), ("sensors/+/x", true), ("commands/#", false),
            ("notes/+", false), ("notes/#", true), ("+", true), ("sensors/secret", false), ("public/+", false),
            ("devices/+/+/x", true), ("devices/bob/#", false), ("devices/#", true), ("$SYS/#", false),
            ("sensors", true),
            ("+/+/+/+", true), ("with blanks/+", true), ("a/#", false),
        ]
    )
    func filterRefusedWhenNothing(filter: String, granted: Bool) throws {
        let client = ClientIdentity(clientID: "c", userName: "alice")
        #expect(try authorizer(Self.house).maySubscribe(filter, client: client) == granted)
    }

    @Test("a file says all that is wrong with it, by line") func fileSaysAllWrong() {
        let refused = #expect(throws: AccessFileRefused.self) {
            try AccessControlList(
                """
                topic read a/b
                topics a
                user
                topic
                topic reed a
                pattern read a/#/b
                topic a+
                """
            )
        }
        #expect(refused?.problems.map(\.line) == [2, 3, 4, 5, 6, 7])
        #expect(
            refused?.problems[3].words == "must be read, write, readwrite or deny before the topic, not 'reed'"
        )
    }

    @Test("a broker hides what may not be read, from wildcards, retained messages and wills alike")
    func brokerHidesNotRead() throws {
        let authorizer = try authorizer(Self.house)
        let test = TestBroker(authorizer: authorizer)
        func connect(_ name: String) throws -> TestClient { try test.connect(name) { $0.userName = name } }
        let bob = try connect("bob")
        try bob.publish("sensors/secret/a", "kept", retain: true)
        let alice = try connect("alice")
        #expect(try alice.subscribe("#", "sensors/secret/a") == [.grantedQoS0, .notAuthorized])
        for _ in 0..<3 { try bob.publish("sensors/secret/a", "now") }
        try bob.publish("sensors/a", "seen")
        try bob.publish("commands/lamp/set", "unseen")
        #expect(try alice.texts() == ["seen"])
        authorizer.replace(try AccessControlList("user alice\ntopic read #\nuser bob\ntopic #"))
        test.broker.permissionsChanged()
        try bob.publish("sensors/secret/a", "open")
        #expect(try alice.texts() == ["open"])
        #expect(try alice.publish("notes", "x", qos: .atLeastOnce) == .notAuthorized)
    }
}
