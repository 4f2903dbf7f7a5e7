import BrokerCore
import NIOCore
import Testing

@Suite struct OnceKeysTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func keys(_ count: Int, bytes: Int = 1_000_000) -> OnceKeys<String, [Int], Int> {
        OnceKeys(lifetime: .seconds(10), keys: Quota.Limit(total: count), bytes: Quota.Limit(total: bytes))
    }

    private func holder(_ address: String) -> Holder { Holder(network: ClientNetwork(address)) }

    @Test("what is under way is not forgotten, however many come after it")
    func underWay() {
        var keys = keys(2)
        keys.begin("a", [], cost: 1, for: .nobody, at: start)
        for number in 0..<10 {
            keys.begin("\(number)", [], cost: 1, for: .nobody, at: start)
            keys.finish("\(number)", number, cost: 1)
        }
        keys.update("a") { $0.append(7) }
        #expect(keys.entry(of: "a", at: start)?.note == [7])
        keys.finish("a", 42, cost: 1)
        #expect(keys.entry(of: "a", at: start)?.answer == 42)
        #expect(keys.count <= 2)
    }

    @Test("an answer is there for those who wait for it, also when there is no room to remember it")
    func noRoom() {
        var keys = keys(1)
        for name in ["a", "b", "c"] { keys.begin(name, [], cost: 1, for: .nobody, at: start) }
        keys.finish("a", 42, cost: 1)
        #expect(keys.entry(of: "a", at: start)?.answer == 42)
        keys.finish("b", 43, cost: 1)
        #expect(keys.entry(of: "a", at: start) == nil)
        #expect(keys.entry(of: "b", at: start)?.answer == 43)
    }

    @Test("what came to nothing is forgotten, and does not make others leave earlier")
    func refused() {
        var keys = keys(2)
        for _ in 0..<10 {
            keys.begin("a", [], cost: 1, for: .nobody, at: start)
            keys.forget("a")
        }
        #expect(keys.count == 0 && keys.bytesUsed == 0)
        for name in ["b", "a", "c"] {
            keys.begin(name, [], cost: 1, for: .nobody, at: start)
            keys.finish(name, 1, cost: 1)
        }
        #expect(keys.entry(of: "b", at: start) == nil)
        #expect(keys.entry(of: "a", at: start)?.answer == 1)
    }

    @Test("entries end with their time, by themselves")
    func expiry() {
        var keys = keys(100)
        for number in 0..<50 {
            keys.begin("\(number)", [], cost: 100, for: .nobody, at: start)
            keys.finish("\(number)", number, cost: 100)
        }
        #expect(keys.entry(of: "49", at: start + .seconds(9))?.answer == 49)
        #expect(keys.entry(of: "none", at: start + .seconds(10)) == nil)
        #expect(keys.count == 0 && keys.bytesUsed == 0)
    }

    @Test("where all have all of it, who has more than most gives way to himself")
    func crowd() {
        var keys = keys(12)
        let quiet = holder("192.0.2.9")
        keys.begin("quiet", [], cost: 1, for: quiet, at: start)
        keys.finish("quiet", 1, cost: 1)
        for number in 0..<100 {
            let one = holder("192.0.2.\(number % 3)")
            keys.begin("\(number)", [], cost: 1, for: one, at: start)
            keys.finish("\(number)", number, cost: 1)
        }
        #expect(keys.entry(of: "quiet", at: start)?.answer == 1)
        #expect(keys.count <= 12)
    }

    @Test("keys are in the order of their last use, and no more is kept than of as many as there are")
    func useOrder() {
        var order = UseOrder<Int>()
        for round in 0..<1_000 {
            for key in 0..<5 where key != round % 5 { order.use(key) }
        }
        #expect(order.count == 5)
        order.use(0)
        order.remove(1)
        #expect(order.popFirst() == 4)
        #expect(order.first() == 2)
        #expect([order.popFirst(), order.popFirst(), order.popFirst(), order.popFirst()] == [2, 3, 0, nil])
        #expect(order.isEmpty)
    }
}
