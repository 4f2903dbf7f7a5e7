import BrokerCore
import CoAPGateway
import NIOCore
import Testing

/// Handshakes under way: how many, whose, and how long.
@Suite struct HandshakesTests {
    private let context: SecureContext
    private let now = NIODeadline.now()

    init() throws { context = try SecureContext(SecureSessionTests.security(), .connections, now: now) }

    private func session(_ now: NIODeadline? = nil) throws -> SecureSession {
        try context.makeSession(nil, now: now ?? self.now) { _ in true }
    }

    private func network(_ last: UInt8) -> ClientNetwork? { ClientNetwork(bytes: [192, 0, 2, last]) }

    @Test("one address has half of the places; of its own the oldest gives way")
    func share() throws {
        var handshakes = Handshakes(most: 8)
        for number in 0..<4 as Range<UInt> {
            #expect(handshakes.begin(EndpointID(rawValue: number), try session(), network(1)) == nil)
        }
        #expect(handshakes.begin(EndpointID(rawValue: 50), try session(), network(2)) == nil)
        #expect(handshakes.begin(EndpointID(rawValue: 4), try session(), network(1)) == EndpointID(rawValue: 0))
        handshakes.end(EndpointID(rawValue: 1))
        #expect(handshakes.begin(EndpointID(rawValue: 5), try session(), network(1)) == nil)
        #expect(handshakes.count == 5)
    }

    @Test("where there is no place left the oldest of all gives way, and it stays so few")
    func most() throws {
        var handshakes = Handshakes(most: 8)
        for number in 0..<8 as Range<UInt> {
            let address = network(UInt8(number))
            #expect(handshakes.begin(EndpointID(rawValue: number), try session(), address) == nil)
        }
        handshakes.end(EndpointID(rawValue: 0))
        handshakes.end(EndpointID(rawValue: 0))
        #expect(handshakes.begin(EndpointID(rawValue: 8), try session(), network(8)) == nil)
        for number in 9..<2_000 as Range<UInt> {
            let leaving = handshakes.begin(EndpointID(rawValue: number), try session(), network(UInt8(number % 250)))
            #expect(leaving == EndpointID(rawValue: number - 8))
            #expect(handshakes.count == 8)
        }
    }

    @Test("those that are due are found, and nothing is due when there are none")
    func due() throws {
        var handshakes = Handshakes(most: 8)
        #expect(handshakes.dueAt == .distantFuture)
        let first = try session()
        _ = handshakes.begin(EndpointID(rawValue: 1), first, network(1))
        _ = handshakes.begin(EndpointID(rawValue: 2), try session(now + .seconds(20)), network(1))
        #expect(handshakes.dueAt == first.dueAt)
        #expect(handshakes.due(now + .seconds(5)).isEmpty)
        #expect(handshakes.due(first.dueAt).map(\.endpoint) == [EndpointID(rawValue: 1)])
        handshakes.end(EndpointID(rawValue: 1))
        handshakes.lookAgain()
        #expect(handshakes.dueAt == first.dueAt + .seconds(20))
        handshakes.end(EndpointID(rawValue: 2))
        #expect(handshakes.dueAt == .distantFuture)
    }
}
