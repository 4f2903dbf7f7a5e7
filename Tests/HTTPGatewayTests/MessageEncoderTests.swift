import BrokerCore
import JSONMessages
import MQTTCodec
import NIOCore
import Testing

@Suite struct MessageEncoderTests {
    private let encoder = MessageEncoder()

    private func message(_ payload: String, expiresAt: NIODeadline = .distantFuture) throws -> Message {
        Message(
            topic: try TopicName("a"),
            payload: ByteBuffer(string: payload),
            qos: .exactlyOnce,
            expiresAt: expiresAt
        )
    }

    private func members(
        _ message: Message,
        _ qos: QoS = .atMostOnce,
        retain: Bool = false,
        dup: Bool = false,
        at second: UInt64 = 0
    )
        -> String
    {
        let delivery = Delivery(
            message: message,
            qos: qos,
            retain: retain,
            dup: dup,
            packetID: nil,
            subscriptionIdentifiers: []
        )
        return String(buffer: encoder.members(of: delivery, at: .uptimeNanoseconds(second * 1_000_000_000)))
    }

    @Test("the same message is told apart by what its subscribers see of it")
    func subscribers() throws {
        let message = try message("x")
        for _ in 0..<2 {
            #expect(members(message) == #""payload":"x","qos":0,"retain":false,"topic":"a""#)
            #expect(members(message, .atLeastOnce) == #""payload":"x","qos":1,"retain":false,"topic":"a""#)
            #expect(members(message, retain: true) == #""payload":"x","qos":0,"retain":true,"topic":"a""#)
            #expect(members(message, dup: true) == #""dup":true,"payload":"x","qos":0,"retain":false,"topic":"a""#)
        }
    }

    @Test("a message that expires says each time how many seconds are left")
    func expiry() throws {
        let message = try message("x", expiresAt: .uptimeNanoseconds(10_000_000_000))
        #expect(members(message, at: 0).contains(#""message_expiry_interval":10"#))
        #expect(members(message, at: 7).contains(#""message_expiry_interval":3"#))
    }

    @Test("messages that come and go are not taken for each other")
    func many() throws {
        for number in 0..<1_000 {
            #expect(members(try message("\(number)")).contains(#""payload":"\#(number)""#))
        }
    }

    @Test("a message that is too large to be remembered is written all the same")
    func large() throws {
        let text = String(repeating: "x", count: 100_000)
        let message = try message(text)
        for _ in 0..<2 { #expect(members(message).contains(text)) }
    }
}
