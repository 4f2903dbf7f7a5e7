import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// RFC 7252 §4.4: no Message ID comes again within EXCHANGE_LIFETIME, or NON_LIFETIME.
@Suite struct MessageIDPaceTests {
    private static let messageIDs = 65_536
    private static let stretch = 4_096
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test(
        "a Message ID is free again when what was sent under it no longer counts",
        arguments: [(true, 247), (false, 145)]
    )
    func lifetime(isConfirmable: Bool, seconds: Int64) {
        var pace = MessageIDPace()
        for number in 0..<Self.messageIDs {
            #expect(pace.freeAt <= start)
            // A second for each stretch.
            pace.began(isConfirmable: isConfirmable, now: start + .seconds(Int64(number / Self.stretch)))
        }
        #expect(pace.freeAt == start + .seconds(seconds))
        for _ in 0..<Self.stretch { pace.began(isConfirmable: isConfirmable, now: pace.freeAt) }
        #expect(pace.freeAt == start + .seconds(seconds + 1))
    }

    @Test("responses use Message IDs up, and are waited for by nobody")
    func responses() {
        var pace = MessageIDPace()
        for _ in 0..<Self.messageIDs { pace.answered() }
        #expect(pace.freeAt <= start)
        pace.began(isConfirmable: true, now: start)
        for _ in 1..<Self.messageIDs { pace.answered() }
        #expect(pace.freeAt == start + .seconds(247))
        for _ in 0..<Self.stretch { pace.answered() }
        #expect(pace.freeAt <= start)
    }

    @Test("an observer of very many messages gets the rest when Message IDs are free again, in order")
    func observer() throws {
        let scene = ServerScene()
        scene.ask(.get, "/ps/a", observe: 0)
        var received: [String] = []
        func take() {
            scene.settle()
            for case .nonConfirmable(_, _, let response) in scene.layer.take() { received.append(response.text) }
        }
        let count = Self.messageIDs + 100
        for number in 0..<count {
            _ = try scene.publish("a", "\(number)", qos: .atMostOnce)
            if number.isMultiple(of: 500) { take() }
        }
        take()
        #expect(received.count == Self.messageIDs)
        #expect(scene.server.nextDeadline == scene.now + .seconds(145))
        scene.now = scene.now + .seconds(145)
        take()
        #expect(received == (0..<count).map(String.init))
    }
}
