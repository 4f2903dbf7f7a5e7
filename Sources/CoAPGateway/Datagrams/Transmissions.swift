import HeapModule
package import NIOCore

/// Confirmable messages that wait for their acknowledgement, and when they are sent again (RFC 7252 §4.2); sans I/O.
package struct Transmissions {
    /// ACK_TIMEOUT and MAX_RETRANSMIT (RFC 7252 §4.8).
    package struct Parameters: Sendable {
        package var acknowledgeTimeout: TimeAmount
        package var maximumRetransmissions: Int

        package init(acknowledgeTimeout: TimeAmount, maximumRetransmissions: Int) {
            self.acknowledgeTimeout = acknowledgeTimeout
            self.maximumRetransmissions = maximumRetransmissions
        }
    }

    /// One message on its way.
    package struct Transmission {
        package let id: ConfirmableID
        package let peer: EndpointID
        package let messageID: UInt16
        package let token: Token
        /// The message as it is sent each time.
        package let bytes: [UInt8]
        /// It asks for nothing but a sign of life: a Reset says as much as an acknowledgement (RFC 7252 §4.3).
        package let isPing: Bool
        fileprivate var attempts = 0
        fileprivate var timeout: TimeAmount
        /// The place of the peer's transmission before this one; below 0 if there is none.
        fileprivate var former: Int
    }

    /// What has become due.
    package enum Due {
        case again(Transmission)
        /// It was sent often enough.
        case failed(Transmission)
    }

    private struct Slot {
        var transmission: Transmission?
        var generation: UInt32 = 0
    }

    private struct Timer: Comparable {
        let at: NIODeadline
        let place: UInt32
        let generation: UInt32

        static func < (one: Self, other: Self) -> Bool { one.at < other.at }
    }

    /// ACK_RANDOM_FACTOR.
    private static let randomFactor = 1.0...1.5

    private let parameters: Parameters
    private var slots: ContiguousArray<Slot> = []
    private var free: [Int] = []
    /// The place of each peer's latest transmission.
    private var latest: [EndpointID: Int] = [:]
    private var timers = Heap<Timer>()
    private var lastID: UInt = 0
    private var jitter = Jitter(state: .random(in: .min ... .max))

    package init(_ parameters: Parameters) { self.parameters = parameters }

    /// Transmissions that are not over.
    package var count: Int { slots.count - free.count }

    /// When something becomes due; nil when nothing is on its way.
    package var nextDeadline: NIODeadline? { timers.min?.at }

    /// A message was sent for the first time.
    package mutating func begin(
        _ bytes: [UInt8],
        messageID: UInt16,
        token: Token,
        isPing: Bool = false,
        to peer: EndpointID,
        now: NIODeadline
    ) -> ConfirmableID {
        lastID += 1
        let id = ConfirmableID(rawValue: lastID)
        let first =
            Double(parameters.acknowledgeTimeout.nanoseconds) * Double.random(in: Self.randomFactor, using: &jitter)
        let transmission = Transmission(
            id: id,
            peer: peer,
            messageID: messageID,
            token: token,
            bytes: bytes,
            isPing: isPing,
            timeout: .nanoseconds(Int64(first)),
            former: latest[peer] ?? -1
        )
        let place = free.popLast() ?? slots.count
        if place == slots.count { slots.append(Slot()) }
        slots[place].transmission = transmission
        latest[peer] = place
        setTimer(place, now + transmission.timeout)
        return id
    }

    /// A message to the peer was acknowledged, or answered with Reset.
    ///
    /// - Returns: nil when none has that Message ID.
    package mutating func end(_ messageID: UInt16, of peer: EndpointID) -> Transmission? {
        endFirst(of: peer) { $0.messageID == messageID }
    }

    /// Nothing with that token is sent to the peer any more.
    package mutating func end(_ token: Token, of peer: EndpointID) -> [Transmission] {
        var ended: [Transmission] = []
        while let transmission = endFirst(of: peer, where: { $0.token == token && !$0.isPing }) {
            ended.append(transmission)
        }
        return ended
    }

    /// The peer is forgotten, and all that is on its way to it.
    package mutating func endAll(of peer: EndpointID) { while endFirst(of: peer, where: { _ in true }) != nil {} }

    /// What is due by then, one after the other; nil when nothing is.
    package mutating func next(now: NIODeadline) -> Due? {
        while let timer = timers.min, timer.at <= now {
            timers.removeMin()
            let place = Int(timer.place)
            guard isLive(timer), var transmission = slots[place].transmission else { continue }
            guard transmission.attempts < parameters.maximumRetransmissions else {
                return end(transmission.messageID, of: transmission.peer).map(Due.failed)
            }
            transmission.attempts += 1
            transmission.timeout = transmission.timeout * 2
            slots[place].transmission = transmission
            setTimer(place, now + transmission.timeout)
            return .again(transmission)
        }
        return nil
    }

    private mutating func setTimer(_ place: Int, _ at: NIODeadline) {
        // Those of a moment are looked at together.
        let tick = UInt64(10_000_000)
        let rounded = NIODeadline.uptimeNanoseconds((at.uptimeNanoseconds / tick + 1) * tick)
        timers.insert(Timer(at: rounded, place: UInt32(place), generation: slots[place].generation))
    }

    private func isLive(_ timer: Timer) -> Bool { slots[Int(timer.place)].generation == timer.generation }

    private mutating func endFirst(of peer: EndpointID, where condition: (Transmission) -> Bool) -> Transmission? {
        var later: Int?
        var place = latest[peer] ?? -1
        while place >= 0, let transmission = slots[place].transmission {
            guard condition(transmission) else {
                later = place
                place = transmission.former
                continue
            }
            if let later {
                slots[later].transmission?.former = transmission.former
            } else {
                latest[peer] = transmission.former < 0 ? nil : transmission.former
            }
            slots[place].transmission = nil
            slots[place].generation &+= 1
            free.append(place)
            // Timers of what is over are not waited for.
            while let timer = timers.min, !isLive(timer) { timers.removeMin() }
            return transmission
        }
        return nil
    }
}

/// Spreads retransmissions over ACK_RANDOM_FACTOR, by the numbers of SplitMix64.
///
/// Nobody gains by foreseeing them, so the system is asked for randomness once and not for each message.
private struct Jitter: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
