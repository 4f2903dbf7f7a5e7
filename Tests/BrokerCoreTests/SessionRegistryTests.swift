import MQTTCodec
import Testing

@testable import BrokerCore

/// Who is there, without a broker.
struct SessionRegistryTests {
    private let registry = SessionRegistry(epoch: 100)

    private func makeSession(_ clientID: String, expiryInterval: UInt32 = 60) -> Session {
        let session = Session(
            name: .client(clientID),
            number: registry.takeNumber(),
            publisherID: PublisherID(clientID: clientID)
        )
        session.life.expiryInterval = expiryInterval
        session.counted.holder = Holder(network: nil, userName: "u")
        return session
    }

    @Test("numbers are above those of former processes, and none is used twice")
    func numbers() {
        let session = makeSession("a")
        #expect(session.number.rawValue == 101)
        let restored = Session(name: .client("b"), number: SessionNumber(rawValue: 500), publisherID: .none)
        registry.restore(restored)
        #expect(registry.takeNumber().rawValue == 501)
    }

    @Test("a session is found by its name, and by its number as long as it is that one")
    func found() {
        let first = makeSession("a")
        registry.add(first)
        #expect(registry[.client("a")] === first)
        registry.remove(first)
        let second = makeSession("a")
        registry.add(second)
        #expect(registry[.client("a"), first.number] == nil)
        #expect(registry[.client("a"), second.number] === second)
        // A session that has ended does not take its successor with it.
        registry.remove(first)
        #expect(registry[.client("a")] === second)
    }

    @Test("a session that only its connection has is counted and found by nobody")
    func nameless() {
        let session = makeSession("a")
        session.names.isNameless = true
        registry.add(session)
        #expect(registry[.client("a")] == nil)
        #expect(registry.count == 0)
        #expect(registry.countLasting == 1)
        #expect(registry.all.count == 1)
        registry.remove(session)
        #expect(registry.all.isEmpty)
    }

    @Test("the session that was left longest ago gives way first, and none for which something waits")
    func idle() {
        let sessions = ["a", "b", "c"].map { makeSession($0) }
        for session in sessions {
            registry.add(session)
            registry.noteIdle(session)
        }
        let holder = sessions[0].holder
        #expect(registry.firstIdle(of: holder) === sessions[0])
        registry.noteBusy(sessions[0])
        #expect(registry.firstIdle(of: holder) === sessions[1])
        registry.remove(sessions[1])
        #expect(registry.firstIdle(of: holder) === sessions[2])
    }

    @Test("a session that is renamed is found by its new name alone")
    func rename() {
        let session = makeSession("a")
        registry.add(session)
        registry.rename(session, to: .own("a"))
        #expect(registry[.client("a")] == nil)
        #expect(registry[.own("a")] === session)
    }
}
