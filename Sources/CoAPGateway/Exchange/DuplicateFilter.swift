package import NIOCore

/// Tells duplicates among one endpoint's requests by their Message ID, and keeps the answers (RFC 7252 §4.5); sans I/O.
///
/// A message that is sent again is the same byte for byte (RFC 7252 §4.2). One with a known Message ID that differs is no
/// duplicate but the work of a client that began its numbering anew.
package struct DuplicateFilter: Sendable {
    /// EXCHANGE_LIFETIME (RFC 7252 §4.8.2).
    static let exchangeLifetime = TimeAmount.seconds(247)
    /// NON_LIFETIME.
    static let nonLifetime = TimeAmount.seconds(145)

    /// What became of the first one.
    package enum Answer: Sendable {
        /// The core has it.
        case pending
        /// Acknowledged without a response, which comes or came separately or not at all.
        case acknowledged
        /// A response with nothing but a code, which most are.
        case code(CoAPCode)
        indirect case response(CoAPResponse)

        /// In as few bytes as it takes: 64 of these are kept for each endpoint.
        package init(_ response: CoAPResponse) {
            self = response.isBare ? .code(response.code) : .response(response)
        }

        /// Bytes it takes beyond its place.
        fileprivate var size: Int {
            guard case .response(let response) = self else { return 0 }
            return MemoryLayout<CoAPResponse>.size + response.size
        }
    }

    /// Bytes of the responses that are kept for one endpoint; the oldest ones give way.
    private static let maximumBytes = 4_096

    private struct Entry: Sendable {
        // In an order that leaves no gaps.
        let fingerprint: UInt64
        var expiresAt: NIODeadline
        var answer: Answer
        let isGet: Bool
    }

    /// Beside `entries`, for a search that touches little memory.
    private var messageIDs: ContiguousArray<UInt16> = []
    private var entries: ContiguousArray<Entry> = []
    /// Where each Message ID is, once there are more than can be searched.
    private var places: [UInt16: Int] = [:]
    /// Where the next one goes once all places are taken.
    private var oldest = 0
    private let capacity: Int
    /// Places beyond those that each endpoint has.
    package private(set) var extra = 0
    /// Of the responses kept.
    package private(set) var bytes = 0

    /// Makes an empty filter for so many messages.
    package init(capacity: Int) { self.capacity = max(capacity, 1) }

    /// Messages remembered.
    package var count: Int { entries.count }

    /// Whether the next request takes the place of one that may still come again.
    package func isFull(now: NIODeadline) -> Bool {
        entries.count == capacity + extra && entries[oldest].expiresAt > now
    }

    /// Places `grow` would add: as many as there are, and none once every Message ID has one.
    package var growth: Int { capacity + extra <= Int(UInt16.max) ? capacity + extra : 0 }

    /// Remembers more messages: an endpoint that sends very many is not forgotten any sooner.
    package mutating func grow() {
        extra += growth
        messageIDs = ContiguousArray(messageIDs[oldest...] + messageIDs[..<oldest])
        entries = ContiguousArray(entries[oldest...] + entries[..<oldest])
        oldest = 0
        places = [:]
        for (place, messageID) in messageIDs.enumerated() { places[messageID] = place }
    }

    /// Takes a request in.
    ///
    /// - Returns: nil when it is new; else what became of the first.
    package mutating func receive(_ request: CoAPRequest, now: NIODeadline) -> Answer? {
        if let place = place(of: request.messageID) {
            let entry = entries[place]
            if entry.expiresAt > now, entry.fingerprint == request.fingerprint { return entry.answer }
            bytes -= entries[place].answer.size
            entries[place] = makeEntry(request, now)
            return nil
        }
        if extra > 0 { forgetAll(now) }
        if entries.count < capacity + extra {
            if extra > 0 { places[request.messageID] = entries.count }
            if entries.isEmpty { entries.reserveCapacity(min(4, capacity)) }
            messageIDs.append(request.messageID)
            entries.append(makeEntry(request, now))
            return nil
        }
        if extra > 0 {
            places[messageIDs[oldest]] = nil
            places[request.messageID] = oldest
        }
        messageIDs[oldest] = request.messageID
        bytes -= entries[oldest].answer.size
        entries[oldest] = makeEntry(request, now)
        oldest = (oldest + 1) % (capacity + extra)
        return nil
    }

    /// Gives the memory of very many messages back once the last of them can't come again.
    private mutating func forgetAll(_ now: NIODeadline) {
        let newest = (oldest + entries.count - 1) % entries.count
        guard entries[newest].expiresAt <= now else { return }
        self = DuplicateFilter(capacity: capacity)
    }

    /// Keeps the answer for the duplicates to come.
    package mutating func answer(_ request: CoAPRequest, with answer: Answer) {
        guard let place = place(of: request.messageID), entries[place].fingerprint == request.fingerprint else {
            return
        }
        bytes += answer.size - entries[place].answer.size
        entries[place].answer = answer
        if bytes > Self.maximumBytes { makeRoom(but: place) }
    }

    /// Forgets the oldest responses but that one: a GET is then carried out again, of others the code is kept.
    private mutating func makeRoom(but newest: Int) {
        for step in 0..<entries.count where bytes > Self.maximumBytes {
            let place = (oldest + step) % entries.count
            guard place != newest, case .response(let response) = entries[place].answer else { continue }
            bytes -= entries[place].answer.size
            entries[place].answer = .code(response.code)
            if entries[place].isGet { entries[place].expiresAt = .distantPast }
        }
    }

    /// Forgets a request that may as well be carried out again: a GET whose response would keep a large body in memory.
    package mutating func forget(_ request: CoAPRequest) {
        guard let place = place(of: request.messageID), entries[place].fingerprint == request.fingerprint else {
            return
        }
        bytes -= entries[place].answer.size
        entries[place].answer = .pending
        entries[place].expiresAt = .distantPast
    }

    private func makeEntry(_ request: CoAPRequest, _ now: NIODeadline) -> Entry {
        let lifetime = request.isConfirmable ? Self.exchangeLifetime : Self.nonLifetime
        return Entry(
            fingerprint: request.fingerprint,
            expiresAt: now + lifetime,
            answer: .pending,
            isGet: request.code == .get
        )
    }

    private func place(of messageID: UInt16) -> Int? {
        extra > 0 ? places[messageID] : messageIDs.firstIndex(of: messageID)
    }
}
