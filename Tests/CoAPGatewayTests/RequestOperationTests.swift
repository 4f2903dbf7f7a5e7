import BrokerCore
import CoAPGateway
import MQTTCodec
import Testing

/// What methods, paths and queries mean, without a socket.
@Suite struct RequestOperationTests {
    private func operation(
        _ request: CoAPRequest,
        bareTopics: Bool = false,
        limits: Limits = Limits()
    ) throws -> RequestOperation {
        if let malformed = request.malformed { throw malformed }
        return try RequestOperation(
            request,
            query: try RequestQuery(request.query),
            bareTopics: bareTopics,
            limits: limits
        )
    }

    private func publish(_ request: CoAPRequest, limits: Limits = Limits()) throws -> PublishOperation {
        guard case .publish(let publish) = try operation(request, limits: limits) else {
            throw CoAPFailure(.internalServerError, "no PUBLISH")
        }
        return publish
    }

    private func observe(_ request: CoAPRequest) throws -> ObserveOperation {
        guard case .observe(let observe) = try operation(request) else {
            throw CoAPFailure(.internalServerError, "no SUBSCRIBE")
        }
        return observe
    }

    @Test(
        "a path segment is a topic level",
        arguments: [
            ("/ps/a", "a"), ("/ps/a/b/c", "a/b/c"), ("/r/a/b", "a/b"), ("/ps//a", "/a"), ("/ps/a/", "a/"),
            ("/ps/ps/r", "ps/r"), ("/ps/%41", "%41"), ("/ps/mäh", "mäh"), ("/ps?topic=a/b", "a/b"),
            ("/ps?topic=/", "/"), ("/r?topic=a", "a"),
        ]
    )
    func topics(uri: String, topic: String) throws {
        #expect(try publish(request(.post, uri)).topic.string == topic)
    }

    @Test(
        "a path that is no topic is refused",
        arguments: [
            ("/ps", CoAPCode.badRequest), ("/ps/", .badRequest), ("/ps/a/+", .badRequest), ("/ps/a#", .badRequest),
            ("/ps?topic=", .badRequest), ("/ps/a?topic=b", .badRequest), ("/ps/a/..", .badRequest),
            ("/ps/.", .badRequest), ("/other/a", .notFound), ("/psx/a", .notFound),
        ]
    )
    func refusedPaths(uri: String, code: CoAPCode) {
        #expect { try operation(request(.post, uri)) } throws: { ($0 as? CoAPFailure)?.code == code }
    }

    @Test(
        "a segment with a slash, U+0000 or no UTF-8 is refused",
        arguments: [[0x61, 0x2f, 0x62], [0x61, 0x00], [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80]] as [[UInt8]]
    )
    func refusedSegments(segment: [UInt8]) {
        let spoiled = request(.post, "/ps", options: [(11, segment)])
        #expect { try operation(spoiled) } throws: { ($0 as? CoAPFailure)?.code == .badRequest }
    }

    @Test("bare topics are served when asked for")
    func bareTopics() throws {
        guard case .read(let topic) = try operation(request(.get, "/a/b"), bareTopics: true) else {
            Issue.record("no read")
            return
        }
        #expect(topic.string == "a/b")
        #expect { try operation(request(.get, "/a/b")) } throws: { ($0 as? CoAPFailure)?.code == .notFound }
    }

    @Test(
        "methods, queries and types give QoS and RETAIN",
        arguments: [
            (CoAPCode.post, true, "/ps/a", QoS.atLeastOnce, false), (.post, false, "/ps/a", .atMostOnce, false),
            (.put, true, "/ps/a", .atLeastOnce, true), (.put, false, "/ps/a?q=2", .exactlyOnce, true),
            (.post, true, "/ps/a?qos=0", .atMostOnce, false), (.post, true, "/ps/a?r", .atLeastOnce, true),
            (.post, true, "/ps/a?retain=true", .atLeastOnce, true), (.put, true, "/ps/a?r=0", .atLeastOnce, false),
            (.delete, true, "/ps/a?r=0", .atLeastOnce, true),
        ]
    )
    func publishing(code: CoAPCode, confirmable: Bool, uri: String, qos: QoS, retain: Bool) throws {
        let publish = try publish(request(code, uri, confirmable: confirmable, payload: text("x")))
        #expect(publish.qos == qos)
        #expect(publish.retain == retain)
        #expect(publish.payload == (code == .delete ? [] : text("x")))
    }

    @Test(
        "a query argument that is not known, or has an impossible value, is refused",
        arguments: [
            "q=3", "qos=", "q", "r=2", "retain=yes", "expiry=-1", "expiry=x", "nl=2", "rh=3", "retian=1", "x",
            "Q=1",
            "clean=0", "will-topic=a",
        ]
    )
    func refusedQueries(argument: String) throws {
        #expect { try operation(request(.post, "/ps/a?" + argument)) } throws: {
            ($0 as? CoAPFailure)?.code == .badRequest
        }
    }

    @Test(
        "an argument that is not known is told what was meant",
        arguments: [
            ("/ps/a?retian=1", "retian: unknown argument; did you mean retain?"),
            ("/ps/a?x=1&colour=2", "colour: unknown argument"),
            ("/ps/a?clean=0", "clean: is for /mqtt/connection"),
            ("/mqtt/connection?clientid=a&cleen=0", "cleen: unknown argument; did you mean clean?"),
            ("/mqtt/connection?clientid=a&clean=0&kaa=5", "kaa: unknown argument; did you mean ka?"),
        ]
    )
    func unknownArguments(target: String, words: String) {
        #expect { try operation(request(.post, target)) } throws: {
            ($0 as? CoAPFailure)?.diagnostic.contains(words) == true
        }
    }

    @Test("the link that is found leads to the links", arguments: ["/.well-known/core", "/ps", "/ps?rt=core.ps.data"])
    func links(target: String) throws {
        guard case .wellKnownCore = try operation(request(.get, target)) else { throw NoLinks() }
    }

    private struct NoLinks: Error {}

    @Test("a GET of a filter says how to subscribe", arguments: ["/ps/a/+", "/ps/a/#"])
    func readOfFilter(target: String) {
        #expect { try operation(request(.get, target)) } throws: {
            ($0 as? CoAPFailure)?.diagnostic.contains("add Observe") == true
        }
    }

    @Test("a password is not repeated in a diagnostic")
    func passwordsStaySecret() {
        #expect { try operation(request(.post, "/ps/a?expiry=secret")) } throws: {
            ($0 as? CoAPFailure)?.diagnostic.contains("secret") == false
        }
    }

    @Test("credentials have long and short names")
    func credentials() throws {
        let long = try RequestQuery(["clientid=a", "username=b", "password=c=d"]).credentials
        #expect(long == (try RequestQuery(["c=a", "u=b", "p=c=d"]).credentials))
        #expect(long.clientID == "a")
        #expect(long.userName == "b")
        #expect(long.password == "c=d")
        #expect(try RequestQuery(["c=a"]).credentials.isAnonymous)
    }

    @Test("expiry and Content-Format become properties")
    func properties() throws {
        let publish = try publish(request(.post, "/ps/a?expiry=60", options: [(12, [50])]))
        #expect(publish.properties?.messageExpiryInterval == 60)
        #expect(publish.properties?.contentType == "application/json")
        #expect(publish.properties?.payloadFormatIndicator == true)
        #expect(try self.publish(request(.post, "/ps/a")).properties == nil)
    }

    @Test(
        "a Content-Format without a name is carried as it is",
        arguments: [1, 98, 256, 432, 10_000, 11_060, 65_001, 65_535]
    )
    func passedContentFormat(number: UInt16) throws {
        let bytes = number < 256 ? [UInt8(number)] : [UInt8(number >> 8), UInt8(number & 0xff)]
        let properties = try #require(
            try self.publish(request(.post, "/ps/a", options: [(12, bytes)])).properties
        )
        #expect(properties.contentType?.isEmpty == false)
        #expect(ContentFormat.number(of: properties) == number)
    }

    @Test(
        "what only looks like such a content type is none",
        arguments: [
            "application/octet-stream;coap-content-format=65536", "application/octet-stream;coap-content-format=", "x",
        ]
    )
    func foreignContentType(contentType: String) {
        var properties = PublishProperties()
        properties.contentType = contentType
        #expect(ContentFormat.number(of: properties) == nil)
    }

    @Test("a payload over the limit is 4.13 with the size there may be")
    func tooLarge() {
        var limits = Limits()
        limits.maximumPacketSize = 4
        #expect { try operation(request(.post, "/ps/a", payload: text("12345")), limits: limits) } throws: {
            guard let failure = $0 as? CoAPFailure else { return false }
            return failure.code == .requestEntityTooLarge && failure.size1 == 4
        }
    }

    @Test("a QoS the broker does not serve is refused when asked for, and lowered when not")
    func maximumQoS() throws {
        var limits = Limits()
        limits.maximumQoS = 0
        #expect(try publish(request(.post, "/ps/a"), limits: limits).qos == .atMostOnce)
        #expect { try publish(request(.post, "/ps/a?q=1"), limits: limits) } throws: {
            ($0 as? CoAPFailure)?.code == .badRequest
        }
    }

    @Test(
        "GET with Observe 0 subscribes to topics and filters",
        arguments: [
            ("/ps/a/b", "a/b", true), ("/ps/a/+", "a/+", false), ("/ps/#", "#", false), ("/ps?topic=a/#", "a/#", false),
            ("/ps/$share/g/a", "$share/g/a", false),
        ]
    )
    func observing(uri: String, filter: String, isTopic: Bool) throws {
        let observe = try observe(request(.get, uri, options: [(6, [])]))
        #expect(observe.filter.string == filter)
        #expect((observe.topic != nil) == isTopic)
        #expect(observe.options.qos == .atLeastOnce)
    }

    @Test("subscription options come from the query")
    func subscriptionOptions() throws {
        let uri = "/ps/a?nl&rh=2&q=0"
        let options = try observe(request(.get, uri, options: [(6, [])])).options
        #expect(options == SubscriptionOptions(qos: .atMostOnce, noLocal: true, retainHandling: .doNotSend))
        #expect(try observe(request(.get, "/ps/a", confirmable: false, options: [(6, [])])).options.qos == .atMostOnce)
        #expect { try observe(request(.get, "/ps/$share/g/a?nl", options: [(6, [])])) } throws: {
            ($0 as? CoAPFailure)?.code == .badRequest
        }
    }

    @Test("filters that are none are refused", arguments: ["/ps/a/#/b", "/ps/a+", "/ps/$share/g"])
    func refusedFilters(uri: String) {
        #expect { try operation(request(.get, uri, options: [(6, [])])) } throws: {
            ($0 as? CoAPFailure)?.code == .badRequest
        }
    }

    @Test("FETCH, PATCH and iPATCH are 4.05", arguments: [CoAPCode.fetch, .patch, .iPatch])
    func refusedMethods(code: CoAPCode) {
        #expect { try operation(request(code, "/ps/a")) } throws: { ($0 as? CoAPFailure)?.code == .methodNotAllowed }
    }
}
