import BrokerCore
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// What comes down with the answer to a publish, and what is too long to come down at all, without sockets and clocks.
@Suite struct DownlinkTests {
    private let elsewhere = EndpointID(rawValue: 2)

    @Test("dl=1 brings the oldest message that waits, with its topic, and is not answered twice")
    func downlink() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/down/+?\(session)", observe: 0)
        scene.ask(.get, "/ps/down/+?\(session)", observe: 1)
        for number in 1...2 { _ = try scene.publish("down/\(number)", "\(number)", qos: .atLeastOnce) }
        scene.settle()
        let first = try #require(scene.ask(.post, "/ps/up?\(session)&dl=1", payload: "x", from: elsewhere))
        #expect(first.code == .changed)
        #expect(first.text == "1")
        #expect(first.locationPath == ["ps", "down", "1"])
        #expect(scene.ask(.post, "/ps/up?\(session)&dl=1", payload: "x", from: elsewhere)?.text == "2")
        #expect(scene.ask(.post, "/ps/up?\(session)&dl=1", payload: "x", from: elsewhere)?.text == "")
        #expect(scene.broker.statistics.published == 5)
    }

    @Test("dl=1 from another address brings what was on its way to the old one, and what comes after it, one by one")
    func downlinkElsewhere() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/down?\(session)", observe: 0)
        for payload in ["1", "2"] { _ = try scene.publish("down", payload, qos: .atLeastOnce) }
        scene.settle()
        func next() -> String? { scene.ask(.post, "/ps/up?\(session)&dl=1", payload: "x", from: elsewhere)?.text }
        #expect(next() == "1" && next() == "2" && next() == "")
        _ = try scene.publish("down", "3", qos: .atLeastOnce)
        scene.settle()
        #expect(next() == "3" && next() == "")
    }

    @Test("dl=1 from another address moves a session that does not last there, with what it observes")
    func downlinkElsewhereOfShortSession() throws {
        let scene = ServerScene()
        let token = try #require(scene.ask(.post, "/mqtt/connection?c=short")).text
        let session = "c=short&t=\(token)"
        scene.ask(.get, "/ps/down?\(session)", observe: 0)
        #expect(scene.ask(.post, "/ps/up?\(session)&dl=1", payload: "x", from: elsewhere)?.text == "")
        _ = try scene.publish("down", "1", qos: .atLeastOnce)
        scene.settle()
        #expect(scene.acknowledgeAll() == ["1"])
    }

    /// Too long for a datagram, in levels of which each fits an option.
    private static let longTopic = Array(repeating: "fifteen letters", count: 150).joined(separator: "/")

    @Test("a message whose topic does not fit a datagram is not sent down, nor is anything else kept from the device")
    func tooLongForDownlink() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/#?\(session)", observe: 0)
        scene.ask(.get, "/ps/#?\(session)", observe: 1)
        for topic in [Self.longTopic, "a"] { _ = try scene.publish(topic, "1", qos: .atLeastOnce) }
        scene.settle()
        let first = try #require(scene.ask(.post, "/ps/up?\(session)&dl=1", payload: "x", from: elsewhere))
        #expect(first.code == .changed && first.locationPath.isEmpty && first.text.isEmpty)
        #expect(first.size <= CoAPResponse.largestMessage)
        let second = try #require(scene.ask(.post, "/ps/up?\(session)&dl=1", payload: "x", from: elsewhere))
        #expect(second.locationPath == ["ps", "a"] && second.text == "1")
    }

    @Test("a message whose topic does not fit a datagram is dropped for an observer; the observation goes on")
    func tooLongForObserver() throws {
        let scene = ServerScene()
        scene.ask(.get, "/ps/#", observe: 0)
        for topic in [Self.longTopic, "a"] { _ = try scene.publish(topic, "1", qos: .atLeastOnce) }
        scene.settle()
        #expect(scene.acknowledgeAll() == ["1"])
        _ = try scene.publish("b", "2", qos: .atLeastOnce)
        scene.settle()
        #expect(scene.acknowledgeAll() == ["2"])
    }

    @Test("wait= holds the answer back until a message comes, or the time is over")
    func waitForDownlink() throws {
        let scene = ServerScene { $0.separateResponseAfter = 500 }
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/down?\(session)", observe: 0)
        scene.ask(.get, "/ps/down?\(session)", observe: 1)
        for payload in ["come", nil] {
            #expect(scene.ask(.post, "/ps/up?\(session)&dl=1&wait=5", payload: "x") == nil)
            scene.now = scene.now + .seconds(1)
            scene.settle()
            guard case .acknowledgement(_, nil) = scene.layer.take().first else {
                Issue.record("no empty acknowledgement")
                return
            }
            if let payload {
                _ = try scene.publish("down", payload, qos: .atLeastOnce)
            } else {
                scene.now = scene.now + .seconds(5)
            }
            #expect(scene.acknowledgeAll() == [payload ?? ""])
        }
    }
}
