import HTTPGateway
import HTTPTypes
import MQTTCodec
import NIOCore
import Testing

@Suite struct PublishEnvelopeTests {
    private func read(_ json: String) throws -> [PublishRequest] {
        try PublishEnvelope.read(ByteBuffer(string: json), maximumBatch: 3).messages
    }

    private func status(_ json: String) -> Int? {
        let problem = #expect(throws: Problem.self) { try read(json) }
        return problem?.status.code
    }

    @Test("an envelope has a topic and a payload, and everything else if it likes")
    func whole() throws {
        let message = try #require(
            try read(
                """
                {"topic":"a/b","payload":"AP8=","payload_encoding":"base64","qos":2,"retain":true,"properties":{
                "message_expiry_interval":60,"response_topic":"r","correlation_data":"id","content_type":"x/y",
                "user_properties":{"b":"2","a":["1","1"]}}}
                """
            ).first
        )
        #expect(message.topic.string == "a/b")
        #expect(Array(message.payload.readableBytesView) == [0, 255])
        #expect(message.qos == .exactlyOnce)
        #expect(message.retain)
        let properties = try #require(message.properties)
        #expect(properties.messageExpiryInterval == 60)
        #expect(properties.responseTopic == "r")
        #expect(properties.correlationData == ByteBuffer(string: "id"))
        #expect(properties.contentType == "x/y")
        #expect(properties.userProperties == [UserProperty("a", "1"), UserProperty("a", "1"), UserProperty("b", "2")])
    }

    @Test("an envelope may be as small as that")
    func small() throws {
        let message = try #require(try read(#"{"topic":"t","payload":""}"#).first)
        #expect(message.qos == .atMostOnce)
        #expect(!message.retain)
        #expect(message.properties == nil)
        #expect(message.payload.readableBytes == 0)
    }

    @Test("an array is a batch, in its order")
    func batches() throws {
        let read = try PublishEnvelope.read(
            ByteBuffer(string: #" [{"topic":"1","payload":"a"},{"topic":"2","payload":"b"}]"#),
            maximumBatch: 3
        )
        #expect(read.isBatch)
        #expect(read.messages.map(\.topic.string) == ["1", "2"])
    }

    @Test("what is no JSON is 400", arguments: ["", "x", "{", #"{"topic":"t""#, "\u{1}"])
    func noJSON(json: String) { #expect(status(json) == 400) }

    @Test(
        "JSON that is no message is 422",
        arguments: [
            "1", "{}", #"{"topic":"t"}"#, #"{"payload":"p"}"#, #"{"topic":1,"payload":"p"}"#,
            #"{"topic":"t","payload":"p","qos":3}"#, #"{"topic":"t","payload":null}"#, "[1]", #""t""#,
            #"{"topic":"t","payload":1,"payload_encoding":"base64"}"#, #"{"topic":"t","payload":"p","retain":2}"#,
            #"{"topic":"t","payload":"p","qos":-1}"#, #"{"topic":"t","payload":"p","qos":259}"#,
            #"{"topic":"t","payload":"!","payload_encoding":"base64"}"#,
            #"{"topic":"t","payload":"p","payload_encoding":"hex"}"#,
            #"{"topic":"t","payload":"/w==","payload_encoding":"base64","properties":{"payload_format_indicator":1}}"#,
            #"{"topic":"t","payload":"p","properties":{"payload_format_indicator":2}}"#,
            #"{"topic":"t","payload":"p","properties":{"message_expiry_interval":-1}}"#, "[]",
            #"{"topic":"t","payload":"p","properties":{"content_type":"a\u0000"}}"#,
        ]
    )
    func noMessage(json: String) { #expect(status(json) == 422) }

    @Test(
        "a payload that is JSON is published as it was written",
        arguments: [
            (#"{"t":21.50,  "a":[1, "x,}]\"", null]}"#, 0), ("21.50", 0), ("-1e3", 0), ("true", 0), ("[]", 0),
            ("{}", 0),
            (#"[{"payload":"inner"}]"#, 0), ("123456789012345678901234567890", 0), ("[0, -0.5e+10, 1E9]", 0),
        ]
    )
    func jsonPayloads(payload: String, place: Int) throws {
        for json in [
            #"{"topic":"t","payload":\#(payload)}"#, #" { "payload" : \#(payload) , "topic":"t" } "#,
            #"{"properties":{"user_properties":{"payload":"{"}},"topic":"t","pay\u006coad":\#(payload)}"#,
        ] {
            let message = try #require(try read(json).first)
            #expect(String(buffer: message.payload) == payload)
            let batch = try read(#"[{"topic":"a","payload":"0"},\#(json), {"topic":"b","payload":[]}]"#)
            #expect(batch.map { String(buffer: $0.payload) } == ["0", payload, "[]"])
        }
    }

    @Test(
        "a payload whose numbers are none is refused",
        arguments: ["1.2.3", "01", #"{"a":01}"#, "[1,-]", "[1.]", "[1e]", "-", "[.5]", #"{"a":[1,{"b":1-2}]}"#]
    )
    func brokenNumbers(payload: String) {
        let problem = #expect(throws: Problem.self) { try read(#"{"topic":"t","payload":\#(payload)}"#) }
        #expect([400, 422].contains(problem?.status.code))
    }

    @Test("0 and 1 are false and true, as in a query")
    func flags() throws {
        #expect(try read(#"{"topic":"t","payload":"","retain":1}"#).first?.retain == true)
        #expect(try read(#"{"topic":"t","payload":"","retain":0}"#).first?.retain == false)
    }

    @Test(
        "what is wrong is said in words about the field",
        arguments: [
            (#"{"topic":"t","payload":"p","retian":true}"#, "retian: unknown field; did you mean retain?"),
            (#"{"topic":"t","payload":"p","colour":1}"#, "colour: unknown field; known are payload,"),
            (#"{"topic":"t","payload":"p","qos":"1"}"#, "qos: must be a whole number from 0 to 2"),
            (#"{"topic":"t","payload":"p","qos":1.5}"#, "qos: must be a whole number from 0 to 2"),
            (#"{"topic":["t"],"payload":"p"}"#, "topic: must be text"), (#"{"topic":"t"}"#, "payload: is missing"),
            (
                #"{"topic":"t","payload":"p","payload_encoding":"hex"}"#,
                "payload_encoding: must be one of plain, base64"
            ),
            (#"{"topic":"t","payload":"p","properties":[]}"#, "properties: must be an object"),
            (#"{"topic":"t","payload":"p","properties":{"expiry":1}}"#, "properties.expiry: unknown field; known are"),
            (
                #"{"topic":"t","payload":"p","properties":{"message_expiry_interval":4294967296}}"#,
                "properties.message_expiry_interval: must be a whole number from 0 to 4294967295"
            ),
            (
                #"{"topic":"t","payload":"p","properties":{"user_properties":{"a":1}}}"#,
                "properties.user_properties.a: must be text, or a list of texts"
            ), ("1", "the JSON must be an object"),
            (#"[{"topic":"t","payload":"p","retian":1}]"#, "message 0: retian: unknown"),
            ("21.5C", "the body is not JSON"),
        ]
    )
    func words(json: String, words: String) {
        let problem = #expect(throws: Problem.self) { try read(json) }
        #expect(problem?.detail.hasPrefix(words) == true, "\(problem?.detail ?? "")")
    }

    @Test("a Topic Name that is none is 400")
    func badTopic() {
        #expect(status(#"{"topic":"a/#","payload":"p"}"#) == 400)
        #expect(status(#"{"topic":"","payload":"p"}"#) == 400)
    }

    @Test("a batch is bounded, and says which message is wrong")
    func bounds() {
        let one = #"{"topic":"t","payload":"p"}"#
        #expect(status("[\(one),\(one),\(one),\(one)]") == 413)
        let problem = #expect(throws: Problem.self) { try read(#"[\#(one),{"topic":"+","payload":"p"}]"#) }
        #expect(problem?.detail.hasPrefix("message 1: ") == true)
    }

    @Test("a string longer than MQTT can say is refused")
    func longStrings() {
        let long = String(repeating: "x", count: 65_536)
        #expect(status(#"{"topic":"t","payload":"p","properties":{"content_type":"\#(long)"}}"#) == 422)
        #expect(status(#"{"topic":"t","payload":"p","properties":{"correlation_data":"\#(long)"}}"#) == 422)
        #expect(status(#"{"topic":"t","payload":"p","properties":{"user_properties":{"k":"\#(long)"}}}"#) == 422)
    }
}
