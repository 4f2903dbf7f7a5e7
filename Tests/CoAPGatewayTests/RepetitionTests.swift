import BrokerCore
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// What comes again, and what only looks like it (RFC 7252 §4.2, §4.5).
@Suite struct RepetitionTests {
    private func answers(_ scene: ServerScene) -> [CoAPCode?] {
        scene.settle()
        return scene.layer.take().map { sent in
            if case .acknowledgement(_, let response) = sent { response?.code } else { nil }
        }
    }

    @Test("a device that has lost its state and counts from the same Message ID publishes its next value")
    func reboot() throws {
        let scene = ServerScene()
        for value in ["20.1", "25.9"] {
            scene.receive(.put, "/ps/boot", messageID: 1, token: [], payload: value)
            #expect(answers(scene) == [value == "20.1" ? .created : .changed])
        }
        scene.receive(.get, "/ps/boot", messageID: 2)
        scene.settle()
        guard case .acknowledgement(_, let response?) = scene.layer.take().first else {
            Issue.record("no answer")
            return
        }
        #expect(response.withPayload { String(decoding: $0, as: UTF8.self) } == "25.9")
    }

    @Test("a confirmable request that comes again after very many others is carried out once")
    func afterVeryMany() throws {
        let scene = ServerScene()
        let first: UInt16 = 1
        scene.receive(.post, "/ps/once", messageID: first, token: [9], payload: "door")
        #expect(answers(scene) == [.changed])
        for messageID: UInt16 in 1_000..<3_000 {
            scene.receive(.post, "/ps/other", confirmable: false, messageID: messageID, payload: "x")
        }
        _ = answers(scene)
        let published = scene.broker.statistics.published
        scene.receive(.post, "/ps/once", messageID: first, token: [9], payload: "door")
        #expect(answers(scene) == [.changed])
        #expect(scene.broker.statistics.published == published)
    }

    @Test("strangers take no more than half of the room for requests that are remembered")
    func strangers() throws {
        let scene = ServerScene { $0.furtherMessages = 256 }
        scene.layer.allowances[scene.endpoint] = 1_000
        func remembered(_ number: UInt16) -> Bool {
            for messageID: UInt16 in 0..<number {
                scene.receive(.post, "/ps/other", confirmable: false, messageID: messageID, payload: "x")
            }
            _ = answers(scene)
            let published = scene.broker.statistics.published
            scene.receive(.post, "/ps/other", confirmable: false, messageID: 0, payload: "x")
            _ = answers(scene)
            return scene.broker.statistics.published == published
        }
        #expect(remembered(100))
        #expect(!remembered(300))
        scene.layer.allowances[scene.endpoint] = nil
        #expect(remembered(200))
    }
}
