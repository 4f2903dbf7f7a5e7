import BrokerCore
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// `/.well-known/core` (RFC 6690 §4.1).
@Suite struct WellKnownCoreTests {
    private func message(_ topic: String, contentType: String? = nil) -> Message {
        var properties = PublishProperties()
        properties.contentType = contentType
        return Message(
            topic: topic.utf8Span.span.bytes,
            payload: "x".utf8Span.span.bytes,
            qos: .atMostOnce,
            retain: true,
            properties: MessageProperties.forwarded(from: properties),
            expiresAt: .distantFuture,
            publisher: .none
        )
    }

    @Test(
        "a query asks for links with an attribute, of a value or of any; one that is no attribute asks for nothing",
        arguments: [
            ("obs", 2), ("rt", 3), ("rt=core.ps", 1), ("rt=core.ps*", 3), ("href=/ps/a/*", 1), ("ct=50", 1), ("ct", 2),
            ("title", 0), ("sz=1", 0), ("q=temp", 3), ("u=alice", 3), ("obs=1", 0),
        ]
    )
    func queries(query: String, count: Int) {
        let messages = [message("a/b"), message("c", contentType: "application/json")]
        let links = WellKnownCore.links([query], messages)
        #expect(links.split(separator: ",").count == count)
    }

    @Test("the list is bounded in bytes, and a query finds what is beyond")
    func bounded() {
        let messages = (0..<1_000).map { message("\($0)/" + String(repeating: "é", count: 120)) }
        let links = WellKnownCore.links([], messages)
        #expect(links.utf8.count <= WellKnownCore.longest)
        #expect(links.utf8.count > WellKnownCore.longest - 1_000)
        #expect(WellKnownCore.links(["href=/ps/999/*"], messages).hasPrefix("</ps/999/"))
    }

    @Test("a topic that fits no request has no link, and costs nothing")
    func longTopics() {
        let long = String(repeating: "x/", count: 30_000)
        #expect(
            WellKnownCore.links([], [message(long), message("t")])
                == "</ps>;rt=\"core.ps\";ct=40,</ps/t>;rt=\"core.ps.data\";obs"
        )
    }

    @Test(
        "arguments of the query that are none of a publish are no error there",
        arguments: ["obs", "q=temp", "ka=x", "qos=9"]
    )
    func foreignArguments(query: String) {
        let scene = ServerScene()
        scene.receive(.get, "/.well-known/core?" + query)
        scene.settle()
        guard case .acknowledgement(_, let response?) = scene.layer.take().first else {
            Issue.record("no answer")
            return
        }
        #expect(response.code == .content)
    }
}
