import BrokerCore
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// Addresses that may not be the sender's (RFC 7252 §11.3, RFC 9175 §2.4), without sockets.
@Suite struct EchoTests {
    private static let long = "/ps/building-7/floor-3/room-12/temperature"
    private let elsewhere = EndpointID(rawValue: 9)

    /// A broker that keeps a message at `a`, and whose answers go to an address that is not proven.
    private func scene(payload: Int, allowance: Int = 10_000) -> ServerScene {
        let scene = ServerScene()
        for uri in ["/ps/a", Self.long] {
            scene.ask(.put, uri, payload: String(repeating: "x", count: payload), from: elsewhere)
        }
        scene.layer.allowances[scene.endpoint] = allowance
        _ = scene.layer.take()
        return scene
    }

    /// A request's answer, and how many bytes both are.
    private func ask(
        _ scene: ServerScene,
        _ messageID: UInt16,
        _ uri: String = "/ps/a",
        _ options: [(UInt16, [UInt8])] = []
    ) throws -> (answer: CoAPResponse, asked: Int, answered: Int) {
        let asked = request(.get, uri, messageID: messageID, token: [1, 2], options: options)
        scene.server.received(asked, from: scene.endpoint, now: scene.now)
        scene.settle()
        for case .acknowledgement(messageID, let response?) in scene.layer.take() {
            return (response, asked.size, response.encodedLength + 2)
        }
        throw CoAPFailure(.internalServerError, "no answer")
    }

    @Test(
        "a client that knows no Echo gets the whole in blocks so small that no answer is over three times its request"
    )
    func blocks() throws {
        let scene = scene(payload: 1_000)
        var (body, number, isMore) = (0, UInt32(0), true)
        while isMore {
            let exponent = UInt32(number == 0 ? 6 : 0)
            let value = number << 4 | exponent
            let option = value < 256 ? [UInt8(value)] : [UInt8(value >> 8), UInt8(value & 0xff)]
            let (answer, asked, answered) = try ask(
                scene,
                UInt16(number + 1),
                Self.long,
                number == 0 ? [] : [(UInt16(23), option)]
            )
            try #require(answer.code == .content)
            #expect(answered <= 3 * asked)
            let block = try #require(answer.block2)
            #expect(block.offset == body)
            body += answer.payloadLength
            isMore = block.more
            number = UInt32(body / 16)
        }
        #expect(body == 1_000)
    }

    @Test("what does not fit even so is asked for an Echo, and is whole once the address is proven")
    func challenge() throws {
        let scene = scene(payload: 1_000, allowance: 20)
        let (answer, _, answered) = try ask(scene, 1)
        #expect(answer.code == .unauthorized && answer.payloadLength == 0 && answered <= 20)
        #expect(answer.echo == scene.layer.echo(for: scene.endpoint))
        scene.layer.allowances = [:]
        #expect(try ask(scene, 2).answer.payloadLength == 1_000)
    }

    @Test("a part of a response has an Echo with it where there is room, so that the next one may be larger")
    func invitation() throws {
        let scene = scene(payload: 1_000)
        let (answer, asked, answered) = try ask(scene, 1, Self.long)
        #expect(answer.block2?.more == true && answer.echo != nil)
        #expect(answered <= 3 * asked)
    }

    @Test("short answers go to any address, errors with as many words as there is room for")
    func short() throws {
        let scene = scene(payload: 1)
        #expect(scene.ask(.post, "/ps/a", payload: "x")?.code == .changed)
        let refused = try #require(scene.ask(.post, "/ps/+", payload: ""))
        #expect(refused.code == .badRequest)
        #expect(refused.encodedLength + 1 <= 3 * 11)
    }

    @Test("RFC 7641 §4.5.1: notifications to an address that is not proven are confirmable and go one at a time")
    func notifications() throws {
        let scene = scene(payload: 1)
        #expect(scene.ask(.get, "/ps/b", observe: 0)?.observe != nil)
        _ = scene.layer.take()
        for number in 1...3 { _ = try scene.publish("b", "\(number)", qos: .atMostOnce) }
        scene.settle()
        let sent = scene.layer.take()
        guard sent.count == 1, case .confirmable(let id, _, let first) = sent[0] else {
            return #expect(Bool(false), "\(sent)")
        }
        #expect(first.text == "1")
        scene.layer.allowances = [:]
        scene.server.acknowledged(id, now: scene.now)
        scene.settle()
        let texts = scene.layer.take().compactMap { sent -> String? in
            if case .nonConfirmable(_, _, let response) = sent { response.text } else { nil }
        }
        #expect(texts == ["2", "3"])
    }

    @Test(
        "a registration stands though the retained message is too much for its answer, and that follows once the address is proven"
    )
    func registration() throws {
        let scene = scene(payload: 1_000, allowance: 24)
        let answer = try #require(scene.ask(.get, "/ps/a", observe: 0))
        #expect(answer.code == .content && answer.observe != nil && answer.payloadLength == 0)
        let (id, _) = try #require(scene.layer.pinged.first)
        scene.layer.allowances = [:]
        scene.server.acknowledged(id, now: scene.now)
        scene.settle()
        guard case .confirmable(_, _, let notification)? = scene.layer.take().first else {
            return #expect(Bool(false), "nothing came")
        }
        #expect(notification.payloadLength == 1_000)
        #expect(notification.observe ?? 0 > answer.observe ?? 0)
    }

    @Test("the first part of a retained message has room for the number of the observation")
    func registrationInParts() throws {
        for allowance in 30..<90 {
            let scene = scene(payload: 1_000, allowance: allowance)
            let answer = try #require(scene.ask(.get, Self.long, observe: 0))
            #expect(answer.code == .content && answer.observe != nil)
            #expect(answer.encodedLength + 1 <= allowance)
        }
    }

    @Test("a message that is too much for the answer to a publish waits for the next one")
    func downlink() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/d?\(session)", observe: 0)
        scene.ask(.get, "/ps/d?\(session)", observe: 1)
        _ = try scene.publish("d", String(repeating: "x", count: 100), qos: .atLeastOnce)
        scene.settle()
        scene.layer.allowances[elsewhere] = 20
        let first = try #require(scene.ask(.post, "/ps/up?\(session)&dl=1", payload: "x", from: elsewhere))
        #expect(first.code == .changed && first.payloadLength == 0)
        scene.layer.allowances = [:]
        let second = try #require(scene.ask(.post, "/ps/up?\(session)&dl=1", payload: "x", from: elsewhere))
        #expect(second.payloadLength == 100)
    }

    @Test("a notification that is too much waits for a sign of life, and so do those after it")
    func signOfLife() throws {
        let scene = scene(payload: 1)
        scene.ask(.get, "/ps/b", observe: 0)
        _ = scene.layer.take()
        scene.layer.allowances[scene.endpoint] = 12
        for number in 1...2 { _ = try scene.publish("b", String(repeating: "\(number)", count: 50), qos: .atMostOnce) }
        scene.settle()
        #expect(scene.layer.take().isEmpty)
        let (id, pinged) = try #require(scene.layer.pinged.first)
        #expect(scene.layer.pinged.count == 1 && pinged == scene.endpoint)
        scene.layer.allowances = [:]
        scene.server.acknowledged(id, now: scene.now)
        scene.settle()
        #expect(scene.layer.take().count == 2)
    }

    @Test("an address that gives no sign of life observes nothing any more")
    func noSignOfLife() throws {
        let scene = scene(payload: 1)
        scene.ask(.get, "/ps/b", observe: 0)
        scene.layer.allowances[scene.endpoint] = 12
        _ = try scene.publish("b", String(repeating: "x", count: 50), qos: .atMostOnce)
        scene.settle()
        let (id, _) = try #require(scene.layer.pinged.first)
        scene.server.failed(id, .unreachable)
        scene.settle()
        #expect(scene.layer.held[scene.endpoint] == 0)
    }
}
