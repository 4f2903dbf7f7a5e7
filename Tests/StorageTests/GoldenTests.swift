import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Storage
import Testing

@Suite struct GoldenTests {
    @Test("a record is written as these bytes", arguments: try Golden.all())
    func written(_ golden: Golden) throws {
        let keyValues = MemoryKeyValueStore()
        try DurableStore.inline(keyValues).commit(golden.batch)
        #expect(keyValues.contents.map { hex($0.key) } == [Golden.format.key, golden.key].map(hex))
        #expect(keyValues.contents.map { hex($0.value) } == [Golden.format.value, golden.value].map(hex))
    }

    @Test("these bytes are read as the record", arguments: try Golden.all())
    func read(_ golden: Golden) throws {
        #expect(try DurableStore.inline(golden.store()).recovered() == golden.recovered)
    }

    @Test("a session that gets another name keeps what belongs to it") func sessionGetsAnotherName() throws {
        let keyValues = MemoryKeyValueStore()
        let store = try DurableStore.inline(keyValues)
        let five = SessionNumber(rawValue: 5)
        try store.commit(.session(SessionRecord("c", 5)), .received(7, of: five))
        try store.commit(.moveSession(from: .client("c"), five), .session(SessionRecord(.own("c"), 5)))
        #expect(
            try DurableStore.inline(keyValues).recovered() == [
                "session own c 5 user - expiry 4294967295 at never will - due - read 0", "received 5 7",
            ]
        )
    }

    @Test("a stored message is read back whole, with what has become of the delivery") func storedMessageReadBack()
        throws
    {
        let full = try Golden.fullMessage()
        let store = try DurableStore.inline(full.store())
        let contents = [
            "a/ü 00ff exactlyOnce true publisher 11647051513882650536 expires 6000000000",
            "properties - - re 0102 - [\"k=v\", \"k=w\"]",
        ].joined(separator: " ")
        #expect(
            try store.load(StoredPlace(10, 1), StoredPlace(10)).map { $0.map(words) } == [
                "\(contents) for 5/301 atLeastOnce false [] - published(4660)",
                "\(contents) for 5/300 atLeastOnce true [1, 268435455] $share/g/# queued",
            ]
        )
        try store.commit(.delivery(StoredPlace(10, 1), .released(2)))
        #expect(
            try store.load(StoredPlace(10, 1)).map { $0.map(words) }
                == ["\(contents) for 5/301 atLeastOnce false [] - released(2)"]
        )
    }
}
