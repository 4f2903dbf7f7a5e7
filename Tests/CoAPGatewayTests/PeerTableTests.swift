import CSockets
import CoAPGateway
import NIOCore
import Testing

/// Who is remembered, and who gives way to whom, without sockets.
@Suite struct PeerTableTests {
    private let now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func table(idle: Int = 100, strangers: Int = 10, heldStrangers: Int = 10) -> PeerTable {
        PeerTable(.init(idle: idle, strangers: strangers, heldStrangers: heldStrangers))
    }

    private func address(_ number: Int) -> PeerAddress { PeerAddress(ipv4: 0x0a00_0000 + UInt32(number), port: 5_683) }

    @discardableResult
    private func enter(_ table: inout PeerTable, _ number: Int, isProven: Bool = false) -> (Peer, [Peer]) {
        let (peer, forgotten) = table.enter(address(number), datagram_path_t(), isProven: isProven, now: now)
        return (peer, forgotten)
    }

    @Test("a peer is found by its address and by its name until it is forgotten; its name is nobody else's afterwards")
    func names() {
        var table = table()
        let (first, _) = enter(&table, 1)
        #expect(table[address(1)] === first && table[first.id] === first)
        table.remove(first)
        #expect(table[address(1)] == nil && table[first.id] == nil)
        let (second, _) = enter(&table, 2)
        #expect(second.id != first.id)
        #expect(table[first.id] == nil && table[second.id] === second)
        // What is said of the former one changes nothing.
        table.hold(first)
        table.release(first)
        table.remove(first)
        #expect(table[second.id] === second && table.count == 1)
    }

    @Test("any number of strangers forgets no peer that was heard more than once")
    func flood() {
        var table = table()
        let known = (0..<20).map { number -> Peer in
            let (peer, _) = enter(&table, number)
            table.heard(peer)
            return peer
        }
        for number in 1_000..<5_000 { enter(&table, number) }
        #expect(known.allSatisfy { table[$0.id] === $0 })
        #expect(table.count == 30)
    }

    @Test("any number of addresses that are heard more than once forgets no peer whose address is proven")
    func familiarFlood() {
        var table = table()
        let proven = (0..<20).map { enter(&table, $0, isProven: true).0 }
        #expect(!table.isCrowded(now: now))
        for number in 1_000..<5_000 {
            let (peer, _) = enter(&table, number)
            for _ in 0..<3 { table.heard(peer) }
        }
        #expect(proven.allSatisfy { table[$0.id] === $0 })
        #expect(table.count == 100)
        #expect(table.isCrowded(now: now + .seconds(59)) && !table.isCrowded(now: now + .seconds(61)))
        // Who proves that it is there stays from then on.
        let (device, _) = enter(&table, 5_000)
        table.prove(device)
        for number in 6_000..<7_000 {
            let (peer, _) = enter(&table, number)
            table.heard(peer)
        }
        #expect(table[device.id] === device)
    }

    @Test("peers that are held and have proven nothing are bounded, however often they were heard")
    func heldFamiliar() {
        var table = table()
        let proven = enter(&table, 0, isProven: true).0
        table.hold(proven)
        for number in 1..<50 {
            let (peer, _) = enter(&table, number)
            table.heard(peer)
            table.hold(peer)
        }
        #expect(table.count == 11 && table[proven.id] === proven)
    }

    @Test("strangers that are held are bounded, too, and the one heard longest ago gives way")
    func heldStrangers() {
        var table = table()
        var forgotten: [Peer] = []
        for number in 0..<25 {
            let (peer, gone) = enter(&table, number)
            table.hold(peer)
            forgotten += gone
        }
        #expect(table.count == 10)
        #expect(forgotten.map(\.address) == (0..<15).map(address))
    }

    @Test("a peer that is known and held stays, whoever comes")
    func held() {
        var table = table(idle: 2, strangers: 1)
        let (peer, _) = enter(&table, 1)
        table.hold(peer)
        table.prove(peer)
        for number in 2..<50 {
            let (other, _) = enter(&table, number)
            table.heard(other)
        }
        #expect(table[peer.id] === peer)
        #expect(table.count == 3)
    }

    @Test("who was forgotten and comes again is no stranger")
    func acquaintance() {
        var table = table(strangers: 1)
        enter(&table, 1)
        let (_, forgotten) = enter(&table, 2)
        #expect(forgotten.map(\.address) == [address(1)])
        let (again, _) = enter(&table, 1)
        #expect(again.isKnown)
        for number in 3..<20 { enter(&table, number) }
        #expect(table[again.id] === again)
    }

    @Test("the peer idle longest is the first to go, and who is heard or held meanwhile is not")
    func idle() {
        var table = table()
        let peers = (0..<4).map { number -> Peer in
            let peer = enter(&table, number, isProven: true).0
            peer.received(1, now: now + .seconds(Int64(number)))
            return peer
        }
        table.hold(peers[1])
        peers[0].received(1, now: now + .seconds(10))
        table.heard(peers[0])
        var gone: [PeerAddress] = []
        while let peer = table.popIdle(heardBefore: now + .seconds(10)) { gone.append(peer.address) }
        #expect(gone == [address(2), address(3)])
        table.release(peers[1])
        gone = []
        while let peer = table.popIdle(heardBefore: now + .seconds(11)) { gone.append(peer.address) }
        #expect(gone == [address(0), address(1)])
    }

    @Test("RFC 9175 §2.4: three times what came may go to an address before it is proven, and anything afterwards")
    func credit() {
        var table = table()
        let (peer, _) = enter(&table, 1)
        peer.received(10, now: now)
        #expect(peer.spend(20) && !peer.spend(11) && peer.spend(10) && !peer.spend(1))
        peer.received(1, now: now)
        #expect(peer.spend(3) && !peer.spend(1))
        table.prove(peer)
        #expect(peer.spend(1_000_000))
    }

    @Test("random comings and goings leave all lists in order", arguments: 0..<4)
    func anything(seed: UInt64) {
        var state = seed &* 2_862_933_555_777_941_757 &+ 3
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var table = table(idle: 20, strangers: 8, heldStrangers: 5)
        var holds: [EndpointID: Int] = [:]
        for _ in 0..<20_000 {
            let number = random(60)
            guard let peer = table[address(number)] else {
                for gone in enter(&table, number, isProven: random(5) == 0).1 { holds[gone.id] = nil }
                continue
            }
            switch random(5) {
            case 0: table.heard(peer)
            case 1:
                table.hold(peer)
                holds[peer.id, default: 0] += 1
            case 2 where holds[peer.id, default: 0] > 0:
                table.release(peer)
                holds[peer.id, default: 0] -= 1
            case 3: table.prove(peer)
            default:
                table.remove(peer)
                holds[peer.id] = nil
            }
            #expect(table.strangers <= 25)
        }
        for (id, count) in holds { #expect(table[id]?.holds == count) }
        while let peer = table.popIdle(heardBefore: .distantFuture) { #expect(peer.holds == 0) }
        #expect(table.count == holds.values.count { $0 > 0 })
    }
}

/// What new peers get while there is too much.
@Suite struct StrangerPaceTests {
    /// Of a thousand.
    private func admitted(_ pace: inout StrangerPace) -> Int {
        var count = 0
        for _ in 0..<1_000 where pace.hasRoom {
            pace.enter()
            count += 1
        }
        return count
    }

    @Test("everybody is let in until a crowd waits; then so many in a span of time, and no more, until it is gone")
    func crowd() {
        var pace = StrangerPace()
        var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
        pace.saw(64, isAll: false, now: now)
        #expect(admitted(&pace) == 1_000)
        for _ in 0..<3 {
            pace.saw(1_000, isAll: true, now: now)
            #expect(admitted(&pace) == StrangerPace.mostInSpan)
            pace.saw(10, isAll: false, now: now)
            pace.saw(100, isAll: true, now: now)
            #expect(admitted(&pace) == 0)
            now = now + StrangerPace.span
        }
        pace.saw(10, isAll: true, now: now)
        #expect(admitted(&pace) == 1_000)
    }
}

/// What proves an address (RFC 9175 §2).
@Suite struct EchoGuardTests {
    @Test("a value is good for a minute, at its address, with its port, and by no other process")
    func values() {
        let (echo, other) = (EchoGuard(), EchoGuard())
        let now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
        let peer = PeerAddress(ipv4: 0x0a00_0001, port: 5_683)
        let value = echo.value(for: peer, now: now)
        #expect(value.count == 8)
        #expect(echo.proves(value, peer, now: now) && echo.proves(value, peer, now: now + .seconds(60)))
        #expect(!echo.proves(value, peer, now: now + .seconds(121)))
        #expect(!echo.proves(value, PeerAddress(ipv4: 0x0a00_0001, port: 5_684), now: now))
        #expect(!echo.proves(value, PeerAddress(ipv4: 0x0a00_0002, port: 5_683), now: now))
        #expect(!other.proves(value, peer, now: now))
        for wrong in [[], Array(value.dropLast()), value + [0], value.map { $0 ^ 1 }] {
            #expect(!echo.proves(wrong, peer, now: now))
        }
    }
}
