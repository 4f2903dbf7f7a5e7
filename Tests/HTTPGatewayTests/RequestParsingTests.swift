import BrokerCore
import HTTPGateway
import HTTPTypes
import JSONMessages
import MQTTCodec
import NIOCore
import Testing

@Suite struct RequestParsingTests {
    @Test(
        "one path segment is one topic level, decoded once",
        arguments: [
            ("a/b", "a/b"), ("a%20b/%C3%BC", "a b/ü"), ("/a", "/a"), ("a//b/", "a//b/"), ("%2541", "%41"),
            ("a+b".replacing("+", with: "%2D"), "a-b"), ("..", ".."),
        ]
    )
    func topicPaths(path: String, topic: String) throws {
        #expect(try TopicPath.topic(path).string == topic)
    }

    @Test(
        "a path that is no Topic Name is refused with its reason",
        arguments: ["", "a%2Fb", "a%2fb", "a%", "a%4", "a%zz", "%ff", "a%00", "a/+/b", "a/%23"]
    )
    func badTopicPaths(path: String) {
        let problem = #expect(throws: Problem.self) { try TopicPath.topic(path) }
        #expect(problem?.status.code == 400)
        #expect(problem?.reasonCode == .topicNameInvalid)
    }

    @Test("a query is decoded once")
    func queries() throws {
        let query = try Query("topic=a/+/b&topic=c%2F%23&qos=2&retain&name=%C3%BC&empty=&raw=%00%ff")
        #expect(try query.strings("topic") == ["a/+/b", "c/#"])
        #expect(try query.qos() == .exactlyOnce)
        #expect(try query.flag("retain") == true)
        #expect(try query.flag("absent") == nil)
        #expect(try query.string("name") == "ü")
        #expect(try query.string("empty")?.isEmpty == true)
        #expect(try query.bytes("raw") == [0, 255])
    }

    @Test(
        "a plus is a space, as all encoders write it, but where it is a level of a topic by itself",
        arguments: [
            ("living+room/temp", "living room/temp"), ("living+room%2Ftemp", "living room/temp"), ("a/+/b", "a/+/b"),
            ("+", "+"), ("+%2F+", "+/+"), ("%2B/a", "+/a"), ("a+/+b/+", "a / b/+"), ("++", "  "), ("a%2Bb", "a+b"),
            ("$share/g+1/+/c+d", "$share/g 1/+/c d"),
        ]
    )
    func spaces(encoded: String, topic: String) throws {
        #expect(try Query("topic=\(encoded)").string("topic") == topic)
        #expect(try Query("response_topic=\(encoded)").string("response_topic") == topic)
    }

    @Test("in what is no topic a plus is always a space")
    func spacesElsewhere() throws {
        #expect(try Query("clientid=+a+%2B").string("clientid") == " a +")
    }

    @Test(
        "a parameter that nobody asks for is refused with what was meant",
        arguments: [("retian=1", "did you mean retain?"), ("colour=red", "known are qos, retain"), ("QOS=1", "qos")]
    )
    func unknownParameters(query: String, hint: String) throws {
        let query = try Query(query)
        let problem = #expect(throws: Problem.self) { try query.check(["qos", "retain"]) }
        #expect(problem?.status.code == 400)
        #expect(problem?.detail.contains(hint) == true)
        try Query("qos=1&_=17").check(["qos"])
    }

    @Test("what a parameter can't be is refused", arguments: ["qos=3", "qos=x", "qos=1&qos=1", "qos=%ff", "qos=-1"])
    func badQueries(text: String) throws {
        let query = try Query(text)
        #expect(throws: Problem.self) { try query.qos() }
    }

    @Test("a query that is not percent-encoded is refused")
    func undecodable() {
        #expect(throws: Problem.self) { try Query("a=%g1") }
        #expect(throws: Problem.self) { try Query("%ff=1") }
    }

    @Test("Basic credentials may have colons in the password, and any bytes")
    func credentials() throws {
        #expect(try Authorization(nil) == .none)
        let credentials = BasicCredentials(userName: "user", password: Array("pa:ss".utf8))
        #expect(try Authorization("Basic dXNlcjpwYTpzcw==") == .basic(credentials))
        #expect(try Authorization("basic dTo=") == .basic(BasicCredentials(userName: "u", password: [])))
        #expect(try Authorization("bearer  abc") == .bearer("abc"))
    }

    @Test(
        "credentials that can't be read are not taken for none",
        arguments: ["Digest x", "Bearer", "Basic", "Basic !", "Basic dXNlcg=="]
    )
    func badCredentials(authorization: String) {
        let problem = #expect(throws: Problem.self) { try Authorization(authorization) }
        #expect(problem?.status.code == 401)
        #expect(problem?.headers[.wwwAuthenticate]?.hasPrefix("Basic ") == true)
    }

    @Test(
        "the client's preference decides, ours breaks ties",
        arguments: [
            ([], "a/b"), (["*/*"], "a/b"), (["c/d"], "c/d"), (["a/b;q=0.5, c/d"], "c/d"), (["a/b", "c/d"], "a/b"),
            (["a/*;q=0, */*"], "c/d"), (["C/D ; q=1"], "c/d"), (["x/y"], nil), (["a/b;q=0"], nil),
        ] as [([String], String?)]
    )
    func accept(fields: [String], chosen: String?) {
        #expect(MediaType.negotiate(fields, ["a/b", "c/d"]) == chosen)
    }

    @Test("media types know text from bytes")
    func mediaTypes() {
        #expect(MediaType("Text/Plain; charset=\"UTF-8\"").isText)
        #expect(MediaType("application/senml+json").isJSON)
        #expect(!MediaType("text/plain; charset=iso-8859-1").isText)
        #expect(!MediaType("image/png").isText)
    }

    @Test("an event identifier is what it was written as, and nothing else is one")
    func eventIDs() {
        let id = EventID(epoch: "a-1", sequence: .max)
        #expect(EventID("\(id)") == id)
        for text in ["", ".", ".1", "a", "a.", "a.x", "a.-1", "a.18446744073709551616"] {
            #expect(EventID(text) == nil)
        }
    }

    @Test("a session that is kept in a store has an epoch that outlives the process, others have not")
    func epochs() {
        let stored = SessionNumber(rawValue: 1_800_000_000_000_000)
        #expect(EventID.epoch(of: stored, process: "a") == EventID.epoch(of: stored, process: "b"))
        let next = SessionNumber(rawValue: stored.rawValue + 1)
        #expect(EventID.epoch(of: stored, process: "a") != EventID.epoch(of: next, process: "a"))
        let passing = SessionNumber(rawValue: 7)
        #expect(EventID.epoch(of: passing, process: "a") != EventID.epoch(of: passing, process: "b"))
    }

    @Test("a persistent subscription needs a Client Identifier")
    func persistence() throws {
        #expect(throws: Problem.self) { try SubscribeRequest(Query("topic=a&clean=0"), [:], maximumWait: 60) }
        #expect(throws: Problem.self) { try SubscribeRequest(Query("topic=a&se=5"), [:], maximumWait: 60) }
        #expect(throws: Problem.self) { try SubscribeRequest(Query("topic=a/%23/b"), [:], maximumWait: 60) }
        #expect(throws: Problem.self) { try SubscribeRequest(Query(nil), [:], maximumWait: 60) }
        // Wrong for a stream as for a long-poll.
        for query in ["topic=a&wait=abc", "topic=a&max=0", "topic=a&max=1001"] {
            #expect(throws: Problem.self) { try SubscribeRequest(Query(query), [:], maximumWait: 60) }
        }
        let request = try SubscribeRequest(Query("topic=a&clean=0&clientid=c"), [:], maximumWait: 60)
        #expect(request.isPersistent)
        #expect(request.sessionExpiryInterval == 3_600)
        #expect(request.subscriptions.first?.options.retainHandling == .sendIfNew)
    }

    @Test(
        "what the core refuses has a status, and its own name",
        arguments: [
            (ReasonCode.badUserNameOrPassword, 401), (.notAuthorized, 403), (.topicNameInvalid, 400),
            (.packetTooLarge, 413),
            (.qosNotSupported, 422), (.quotaExceeded, 429), (.serverBusy, 503), (.serverShuttingDown, 503),
            (.sessionTakenOver, 409), (.unspecifiedError, 500),
        ]
    )
    func problems(reason: ReasonCode, status: Int) {
        let problem = Problem(reason)
        #expect(problem.status.code == status)
        #expect(String(buffer: problem.json).contains(#""reason":"\#(reason.name)","reason_code":\#(reason.rawValue)"#))
    }

    @Test("a stranger who may not connect is asked who he is")
    func strangers() {
        #expect(Problem(.notAuthorized, hasCredentials: false).status.code == 401)
        #expect(Problem(.notAuthorized, hasCredentials: false).headers[.wwwAuthenticate] != nil)
    }
}
