import CoAPGateway
import NIOCore
import Testing

/// Retransmission without sockets and clocks (RFC 7252 §4.2).
@Suite struct TransmissionsTests {
    private let begin = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private let peer = EndpointID(rawValue: 1)
    private let other = EndpointID(rawValue: 2)

    private func transmissions(_ maximum: Int = 4) -> Transmissions {
        Transmissions(.init(acknowledgeTimeout: .seconds(2), maximumRetransmissions: maximum))
    }

    @Test("a message goes out again after 2 to 3 seconds, then after twice as long each time, and fails in the end")
    func exponentialBackOff() throws {
        for _ in 0..<20 {
            var transmissions = transmissions()
            let id = transmissions.begin([1, 2], messageID: 7, token: Token([1]), to: peer, now: begin)
            var times: [Double] = []
            var now = begin
            var failed: ConfirmableID?
            while let due = transmissions.nextDeadline {
                now = due
                switch transmissions.next(now: now) {
                case .again(let transmission):
                    #expect(transmission.bytes == [1, 2])
                    times.append(Double((now - begin).nanoseconds) / 1e9)
                case .failed(let transmission):
                    failed = transmission.id
                    times.append(Double((now - begin).nanoseconds) / 1e9)
                case nil: break
                }
            }
            #expect(failed == id)
            let first = times[0]
            #expect(first >= 2 && first <= 3.1)
            for (place, time) in times.enumerated() {
                #expect(abs(time - first * Double((2 << place) - 1)) < 0.4)
            }
            #expect(times.count == 5)
            #expect(transmissions.count == 0)
        }
    }

    @Test("an acknowledgement ends what has its Message ID at its peer, and nothing else")
    func acknowledgement() {
        var transmissions = transmissions()
        let ids = (0..<3).map {
            transmissions.begin([], messageID: UInt16($0), token: Token([1]), to: peer, now: begin)
        }
        _ = transmissions.begin([], messageID: 1, token: Token([1]), to: other, now: begin)
        let ended = [9, 1, 1, 2, 0].map { transmissions.end($0, of: peer)?.id }
        #expect(ended == [nil, ids[1], nil, ids[2], ids[0]])
        #expect(transmissions.count == 1)
        transmissions.endAll(of: other)
        #expect(transmissions.count == 0 && transmissions.nextDeadline == nil)
    }

    @Test("of an observation that is over nothing goes out again")
    func token() {
        var transmissions = transmissions()
        for number in 0..<6 {
            _ = transmissions.begin(
                [],
                messageID: UInt16(number),
                token: Token([UInt8(number % 2)]),
                to: peer,
                now: begin
            )
        }
        let ended = transmissions.end(Token([1]), of: peer).map(\.messageID)
        #expect(Set(ended) == [1, 3, 5])
        var left: [UInt16] = []
        while case .again(let transmission) = transmissions.next(now: begin + .seconds(4)) {
            left.append(transmission.messageID)
        }
        #expect(Set(left) == [0, 2, 4])
    }

    @Test("many messages that are acknowledged at once leave nothing to wait for")
    func nothingLeft() {
        var transmissions = transmissions()
        for number in 0..<10_000 {
            let peer = EndpointID(rawValue: UInt(number))
            _ = transmissions.begin([], messageID: 1, token: Token([]), to: peer, now: begin)
            let ended = transmissions.end(1, of: peer)
            #expect(ended != nil)
        }
        #expect(transmissions.count == 0 && transmissions.nextDeadline == nil)
    }
}
