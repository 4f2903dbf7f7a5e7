import HTTPGateway
import HTTPTestSupport
import MQTTCodec
import NIOCore
import Testing

/// What is read of the operations of `sluice.json`.
@Suite struct JSONOperationTests {
    private func read(_ text: String) -> LabelledOperation {
        LabelledOperation(ByteBuffer(string: text), maximumFilters: 3)
    }

    private func detail(_ text: String) -> String? {
        guard case .failure(let problem) = read(text).operation else { return nil }
        return problem.detail
    }

    private func subscriptions(_ text: String) throws -> [Subscribe.Subscription] {
        guard case .subscribe(let subscriptions) = try read(text).operation.get() else { return [] }
        return subscriptions
    }

    @Test(
        "what is wrong is said in words about the field",
        arguments: [
            (#"{"op":"connect","keep_alive":70000}"#, "keep_alive: must be a whole number from 0 to 65535"),
            (
                #"{"op":"connect","session_expiry_interval":-1}"#,
                "session_expiry_interval: must be a whole number from 0 to 4294967295"
            ), (#"{"op":"connect","receive_maximum":0}"#, "receive_maximum: must be a whole number from 1 to 65535"),
            (#"{"op":"connect","will":{"topic":"t"}}"#, "will.payload: is missing"),
            (
                #"{"op":"connect","will":{"topic":"t","payload":"","dely_interval":1}}"#,
                "will.dely_interval: unknown field; did"
            ),
            (#"{"op":"connect","client_id":"a"}"#, "client_id: unknown field; did you mean clientid?"),
            (#"{"op":"dance"}"#, "op: must be one of connect, subscribe,"), ("{}", "op: is missing"),
            (#"{"op":"subscribe","topic":"a","qso":1}"#, "qso: unknown field; did you mean qos?"),
            (
                #"{"op":"subscribe","topics":[{"topic":"a","qso":1}]}"#,
                "topics[0].qso: unknown field; did you mean qos?"
            ),
            (#"{"op":"subscribe","topics":["a",1]}"#, "topics[1]"),
            (#"{"op":"subscribe","topics":"a"}"#, "topics: must be a list"),
            (#"{"op":"subscribe"}"#, "topic: is missing"),
            (#"{"op":"subscribe","topics":["a","b","c","d"]}"#, "a request has at most 3"),
            (#"{"op":"ping","now":1}"#, "now: unknown field"), (#"{"op":"ack","id":7}"#, "id: must be text"),
            (#"{"op":"ping","id":{}}"#, "id: must be a whole number or text"), ("nonsense", "the body is not JSON"),
        ]
    )
    func words(text: String, words: String) {
        #expect(detail(text)?.hasPrefix(words) == true, "\(detail(text) ?? "no error")")
    }

    @Test("an operation that is wrong keeps its label")
    func labels() {
        #expect(read(#"{"op":"dance","id":7}"#).label == .number(7))
        #expect(read(#"{"id":"a","op":"subscribe"}"#).label == .text("a"))
        #expect(read("nonsense").label == nil)
    }

    @Test("topics are texts or objects, and what is said beside them goes for those that don't say otherwise")
    func topics() throws {
        let text = #"{"op":"subscribe","topics":["a",{"topic":"b","qos":0},{"topic":"c","no_local":1}],"qos":2}"#
        let read = try subscriptions(text)
        #expect(read.map(\.filter) == ["a", "b", "c"])
        #expect(read.map(\.options.qos) == [.exactlyOnce, .atMostOnce, .exactlyOnce])
        #expect(read.map(\.options.noLocal) == [false, false, true])
        guard
            case .unsubscribe(let filters) = try self.read(#"{"op":"unsubscribe","topics":["a",{"topic":"b"}]}"#)
                .operation.get()
        else { throw Unexpected("no unsubscribe") }
        #expect(filters == ["a", "b"])
    }

    @Test("a payload and a will are JSON as it was written")
    func payloads() throws {
        guard
            case .publish(let message) = try read(#"{"op":"publish","topic":"t","payload":{"b":1.0,"a":2}}"#).operation
                .get()
        else { throw Unexpected("no publish") }
        #expect(String(buffer: message.payload) == #"{"b":1.0,"a":2}"#)
        #expect(try read(#"{"op":"connect","will":{"topic":"t","payload":[1]}}"#).operation.get().isConnect)
    }
}

extension JSONOperation {
    fileprivate var isConnect: Bool { if case .connect = self { true } else { false } }
}
