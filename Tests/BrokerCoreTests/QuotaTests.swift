import BrokerCore
import BrokerTestSupport
import MQTTCodec
import Testing

@Suite struct QuotaTests {
    private func holder(_ address: String, user: String? = nil, knowsUsers: Bool = false) -> Holder {
        Holder(network: ClientNetwork(address), userName: user, knowsUsers: knowsUsers)
    }

    private func fill(_ quota: inout Quota, _ holder: Holder) -> Int {
        var taken = 0
        while quota.take(for: holder) == nil { taken += 1 }
        return taken
    }

    @Test("one address has half of all, one user too, unless something else is said")
    func shares() {
        var quota = Quota(.init(total: 100))
        #expect(fill(&quota, holder("192.0.2.1")) == 50)
        #expect(quota.take(for: holder("192.0.2.1", user: "u")) == .address)
        #expect(quota.take(for: holder("192.0.2.2", user: "u")) == nil)
        quota = Quota(.init(total: 100, Shares(perAddress: 20, perUser: 30)))
        #expect(fill(&quota, holder("192.0.2.1", user: "u")) == 20)
        #expect(fill(&quota, holder("192.0.2.2", user: "u")) == 10)
        #expect(quota.take(for: holder("192.0.2.3", user: "u")) == .user)
        #expect(quota.take(for: holder("192.0.2.3")) == nil)
    }

    @Test("half of an odd number, and of 1, is rounded up")
    func small() {
        var one = Quota(.init(total: 1))
        #expect(fill(&one, holder("192.0.2.1")) == 1)
        #expect(one.take(for: holder("192.0.2.2")) == .exhausted)
        var three = Quota(.init(total: 3))
        #expect(fill(&three, holder("192.0.2.1")) == 2)
        #expect(fill(&three, holder("192.0.2.2")) == 1)
    }

    @Test("a share above the limit is the limit; a limit of 0 has nothing for anybody")
    func bounds() {
        var quota = Quota(.init(total: 10, Shares(perAddress: 1_000)))
        #expect(fill(&quota, holder("192.0.2.1", user: "u")) == 5)
        #expect(fill(&quota, holder("192.0.2.1", user: "v")) == 5)
        var none = Quota(.init(total: 0))
        #expect(none.take(for: holder("192.0.2.1")) == .exhausted)
    }

    @Test("all addresses of an IPv6 /64 are one")
    func network() {
        var quota = Quota(.init(total: 10))
        #expect(fill(&quota, holder("[2001:db8::1]:1")) == 5)
        #expect(quota.take(for: holder("[2001:db8::ffff]:2")) == .address)
        #expect(quota.take(for: holder("[2001:db8:0:1::1]:2")) == nil)
    }

    @Test("who has no share of its own is bounded by the total alone")
    func exempt() {
        var quota = Quota(.init(total: 100))
        #expect(fill(&quota, .nobody) == 100)
        var withUser = Quota(.init(total: 100))
        #expect(fill(&withUser, Holder(network: nil, userName: "u")) == 50)
    }

    @Test("strangers can't take the last tenth where users are known, from however many addresses")
    func strangers() {
        var quota = Quota(.init(total: 100))
        var taken = 0
        for address in 0..<200 where quota.take(for: holder("10.0.0.\(address)", knowsUsers: true)) == nil {
            taken += 1
        }
        #expect(taken == 90)
        #expect(fill(&quota, holder("192.0.2.1", user: "alice", knowsUsers: true)) == 10)
    }

    @Test("where no users are known, the last tenth is for addresses that have little")
    func crowd() {
        var quota = Quota(.init(total: 100))
        #expect(fill(&quota, holder("192.0.2.1")) == 50)
        #expect(fill(&quota, holder("192.0.2.2")) == 40)
        #expect(quota.take(for: holder("192.0.2.2")) == .reserved)
        #expect(fill(&quota, holder("192.0.2.3")) == 10)
    }

    @Test("whoever has nothing any more is forgotten, and the total is as before")
    func forgets() {
        var quota = Quota(.init(total: 100_000))
        for number in 0..<10_000 {
            let one = holder("10.1.\(number / 256).\(number % 256)", user: "u\(number)")
            #expect(quota.take(3, for: one) == nil)
        }
        #expect((quota.used, quota.holders) == (30_000, 20_000))
        for number in 0..<10_000 {
            quota.giveBack(3, for: holder("10.1.\(number / 256).\(number % 256)", user: "u\(number)"))
        }
        #expect((quota.used, quota.holders) == (0, 0))
    }

    @Test("who takes the place of another needs no more than that one had")
    func replacing() {
        var quota = Quota(.init(total: 4))
        let (one, other) = (holder("192.0.2.1"), holder("192.0.2.2"))
        #expect(fill(&quota, one) == 2)
        #expect(quota.refusal(for: one, replacing: one) == nil)
        #expect(fill(&quota, other) == 2)
        #expect(quota.refusal(for: one, replacing: other) == .address)
        #expect(quota.refusal(for: other) == .exhausted)
        #expect(quota.refusal(for: other, replacing: other) == nil)
        #expect(quota.refusal(for: holder("192.0.2.3"), replacing: other) == nil)
    }

    @Test("users are told apart byte by byte")
    func canonical() throws {
        var quota = Quota(.init(total: 4))
        #expect(fill(&quota, Holder(network: nil, userName: "\u{e9}")) == 2)
        #expect(fill(&quota, Holder(network: nil, userName: "e\u{301}")) == 2)
    }

    @Test("what is taken although it may not be counts all the same")
    func beyond() throws {
        let network = try #require(ClientNetwork("192.0.2.1"))
        var quota = Quota(.init(total: 10))
        quota.add(20, for: Holder(network: network))
        #expect(quota.used(by: network) == 20)
        #expect(quota.take(for: holder("192.0.2.2")) == .exhausted)
        quota.add(-15, for: Holder(network: network))
        #expect(quota.take(for: holder("192.0.2.1")) == .address)
        #expect(quota.take(for: holder("192.0.2.2")) == nil)
    }
}

@Suite struct RetainedShareTests {
    @Test("one address retains no more than its share, in number and bytes; clearing and replacing give it back")
    func share() throws {
        let test = TestBroker { $0.retainedMessages = 20 }
        let one = try test.connect("1", from: "198.51.100.1")
        let other = try test.connect("2", from: "198.51.100.2")
        func retain(_ client: TestClient, _ topic: String, _ text: String = "x") throws -> ReasonCode? {
            try client.publish(topic, text, qos: .atLeastOnce, retain: true)
        }
        for number in 0..<10 { #expect(try retain(one, "a/\(number)") == .noMatchingSubscribers) }
        #expect(try retain(one, "a/10") == .quotaExceeded)
        #expect(try retain(one, "a/9", "new") == .noMatchingSubscribers)
        #expect(try retain(other, "b") == .noMatchingSubscribers)
        // What another one replaces is that one's from then on.
        #expect(try retain(other, "a/0") == .noMatchingSubscribers)
        #expect(try retain(one, "a/10") == .noMatchingSubscribers)
        #expect(try retain(one, "a/11") == .quotaExceeded)
        for number in 0..<12 { #expect(try retain(one, "a/\(number)", "")?.isError == false) }
        #expect(try retain(other, "b", "")?.isError == false)
        one.disconnect()
        other.disconnect()
        #expect(test.broker.usage == MemoryUsage())
        #expect(test.broker.statistics.retainedRefused == 2)
    }

    @Test("deep topics count for the share of who made them")
    func deep() throws {
        let test = TestBroker { $0.retainedBytes = 1_000_000 }
        let one = try test.connect("1", from: "198.51.100.1")
        for number in 0..<100 {
            try one.publish("\(number)" + String(repeating: "/", count: 150), "x", qos: .atLeastOnce, retain: true)
        }
        #expect(test.broker.retainedBytes <= 500_000)
        #expect(test.broker.retainedBytes > 400_000)
        let other = try test.connect("2", from: "198.51.100.2")
        #expect(try other.publish("b", "x", qos: .atLeastOnce, retain: true) == .noMatchingSubscribers)
    }
}
