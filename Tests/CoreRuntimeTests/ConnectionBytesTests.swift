import BrokerCore
import CoreRuntime
import NIOCore
import Testing

@Suite struct ConnectionBytesTests {
    private func address(_ text: String) -> ClientAddress { ClientAddress(text) }

    @Test("little is free, more is counted in steps, and given back with the account")
    func steps() {
        let bytes = ConnectionBytes(Quota.Limit(total: 1_000_000))
        var account: ConnectionBytes.Account? = bytes.account(of: address("192.0.2.1:1"))
        #expect(account?.hold(ConnectionBytes.free) == nil)
        #expect(bytes.used == 0)
        #expect(account?.hold(ConnectionBytes.free + 1) == nil)
        #expect((4_097...16_384).contains(bytes.used))
        #expect(account?.hold(100_000) == nil)
        #expect((100_000..<120_000).contains(bytes.used))
        #expect(account?.hold(10) == nil)
        #expect(bytes.used == 0)
        #expect(account?.hold(50_000) == nil)
        account = nil
        #expect(bytes.used == 0)
    }

    @Test("one address has half, a trusted proxy's own connection no share; who is refused keeps what it had")
    func shares() {
        let refusals = Refusals()
        let bytes = ConnectionBytes(Quota.Limit(total: 400_000), refusals: refusals)
        let first = bytes.account(of: address("192.0.2.1:1"))
        let second = bytes.account(of: address("192.0.2.1:2"))
        #expect(first.hold(150_000) == nil)
        #expect(second.hold(20_000) == nil)
        let before = bytes.used
        #expect(second.hold(100_000) == .address)
        #expect(bytes.used == before)
        #expect(refusals.count(.connectionBytes) == 1)
        #expect(bytes.account(of: address("192.0.2.2:1")).hold(100_000) == nil)
        #expect(bytes.account(of: ClientAddress("192.0.2.1:3", isProxy: true)).hold(100_000) == nil)
    }

    @Test("refusals are told of at once, and then seldom, with their number")
    func refusals() {
        let told = Told()
        let refusals = Refusals { limit, address, count in told.lines.append("\(limit.rawValue) \(address) \(count)") }
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
        for second in 0..<25 { refusals.note(.polls, "a\(second)", at: start + .seconds(Int64(second))) }
        refusals.note(.handshakes, "b", at: start)
        #expect(told.lines == ["polls a0 1", "polls a10 10", "polls a20 10", "handshakes b 1"])
        #expect(refusals.count(.polls) == 25)
    }

    private final class Told: @unchecked Sendable {
        // One thread.
        var lines: [String] = []
    }
}
