import BrokerCore
import CoreRuntime
import NIOConcurrencyHelpers
import NIOCore
import Testing

/// What was told.
private final class Told: Sendable {
    private let box = NIOLockedValueBox<[Event]>([])

    var all: [Event] { box.withLockedValue { $0 } }
    func add(_ event: Event) { box.withLockedValue { $0.append(event) } }
}

extension Event {
    fileprivate subscript(key: Key) -> Value? { fields.first { $0.key == key }?.value }
}

@Suite struct EventLogTests {
    private let told = Told()

    private func log(from level: Event.Level = .info) -> EventLog { EventLog(from: level) { [told] in told.add($0) } }

    @Test("one client's mistakes are some lines and a count, and hide no other's") func oneClientsMistakesSome() {
        let log = log()
        let now = NIODeadline.now()
        let (noisy, quiet) = (ClientAddress("192.0.2.1:1000"), ClientAddress("192.0.2.2:1000"))
        for _ in 0..<1_000 { log.note(.clientRefused, by: noisy, at: now, []) }
        #expect(told.all.count == 50)
        log.note(.clientRefused, by: quiet, at: now, [])
        log.note(.accessDenied, by: noisy, at: now, [])
        #expect(told.all.count == 52)
        #expect(told.all[50][.address] == .text("192.0.2.2:1000"))
        log.tellLeftOut()
        #expect(told.all.last?.kind == .linesLeftOut)
        #expect(told.all.last?[.kind] == .text("client.refused"))
        #expect(told.all.last?[.count] == .number(950))
        log.tellLeftOut()
        #expect(told.all.count == 53)
    }

    @Test("a client that goes on making mistakes has five lines a second") func clientGoesMakingMistakes() {
        let log = log()
        let start = NIODeadline.now()
        for step in 0..<10_000 {
            log.note(.clientRefused, by: ClientAddress("192.0.2.1:1"), at: start + .milliseconds(Int64(step)), [])
        }
        #expect((99...101).contains(told.all.count))
    }

    @Test("mistakes from very many addresses are bounded together") func mistakesVeryManyAddresses() {
        let log = log()
        let now = NIODeadline.now()
        for place in 0..<5_000 {
            log.note(.clientRefused, by: ClientAddress("10.0.\(place / 250).\(place % 250 + 1):1"), at: now, [])
        }
        #expect(told.all.count <= 600)
        #expect(told.all.count >= 500)
    }

    @Test("what is not told is not put into words") func notToldNotPut() {
        let log = log(from: .error)
        func fields() -> [Event.Field] {
            Issue.record("asked for")
            return []
        }
        log.note(.clientRefused, fields())
        EventLog.silent.note(.storeFailed, fields())
    }

    @Test("identifiers have 64 characters and other fields 256, and say how long they were")
    func identifiers64CharactersOther() {
        let log = log()
        log.note(
            .clientRefused,
            [.clientID(String(repeating: "é", count: 32_000)), .detail(String(repeating: "x", count: 300))]
        )
        #expect(told.all.first?[.clientID] == .text(String(repeating: "é", count: 64) + "… (64000 bytes)"))
        #expect(told.all.first?[.detail] == .text(String(repeating: "x", count: 256) + "… (300 bytes)"))
    }
}
