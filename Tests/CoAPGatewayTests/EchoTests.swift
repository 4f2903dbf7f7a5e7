import BrokerCore
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// Addresses that may not be the sender's (RFC 9175).
@Suite struct EchoTests {
    private func ask(_ scene: ServerScene, _ messageID: UInt16, _ options: [(UInt16, [UInt8])]) -> CoAPResponse? {
        scene.server.received(
            request(.get, "/ps/a", messageID: messageID, options: options),
            from: scene.endpoint,
            now: scene.now
        )
        scene.settle()
        for case .acknowledgement(messageID, let response?) in scene.layer.take() { return response }
        return nil
    }

    @Test(
        "an unproven address gets no observation and no more than three times its request, until it sends the Echo back"
    )
    func challenge() throws {
        let scene = ServerScene { $0.asksForEcho = true }
        scene.ask(.put, "/ps/a", payload: String(repeating: "x", count: 200), from: EndpointID(rawValue: 9))
        for options in [[], [(UInt16(6), [UInt8]())]] {
            let first = try #require(ask(scene, options.isEmpty ? 100 : 200, options))
            #expect(first.code == .unauthorized)
            #expect(first.payloadLength == 0)
            let echo = try #require(first.echo)
            #expect(ask(scene, options.isEmpty ? 101 : 201, options + [(252, [1])])?.code == .unauthorized)
            if !options.isEmpty { #expect(ask(scene, 202, options + [(252, echo)])?.code == .content) }
        }
        #expect(ask(scene, 300, [])?.payloadLength == 200)
    }

    @Test("short answers go to any address, errors without their words if those are too many")
    func short() throws {
        let scene = ServerScene { $0.asksForEcho = true }
        #expect(scene.ask(.post, "/ps/a", payload: "x")?.code == .changed)
        let refused = try #require(scene.ask(.post, "/ps/+", payload: ""))
        #expect(refused.code == .badRequest)
        #expect(refused.text.isEmpty)
    }
}
