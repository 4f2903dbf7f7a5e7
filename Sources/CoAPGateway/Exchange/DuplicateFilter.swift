package import NIOCore

/// Tells duplicates among one endpoint's requests by their Message ID, and keeps the answers (RFC 7252 §4.5); sans I/O.
///
/// A message with a known Message ID and another token or code is no duplicate but the work of a client that began its
/// numbering anew.
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
        let token: Token
        let code: CoAPCode
        var expiresAt: NIODeadline
        var answer: Answer
    }

    /// Beside `entries`, for a search that touches little memory.
    private var messageIDs: ContiguousArray<UInt16> = []
    private var entries: ContiguousArray<Entry> = []
    /// Where the next one goes once all places are taken.
    private var oldest = 0
    private let capacity: Int
    /// Of the responses kept.
    package private(set) var bytes = 0

    /// Makes an empty filter for so many messages.
    package init(capacity: Int) { self.capacity = max(capacity, 1) }

    /// Messages remembered.
    package var count: Int { entries.count }

    /// Takes a request in.
    ///
    /// - Returns: nil when it is new; else what became of the first.
    package mutating func receive(_ request: CoAPRequest, now: NIODeadline) -> Answer? {
        if let place = place(of: request.messageID) {
            let entry = entries[place]
            if entry.expiresAt > now, entry.token == request.token, entry.code == request.code { return entry.answer }
            bytes -= entries[place].answer.size
            entries[place] = makeEntry(request, now)
            return nil
        }
        if entries.count < capacity {
            messageIDs.append(request.messageID)
            entries.append(makeEntry(request, now))
        } else {
            messageIDs[oldest] = request.messageID
            bytes -= entries[oldest].answer.size
            entries[oldest] = makeEntry(request, now)
            oldest = (oldest + 1) % capacity
        }
        return nil
    }

    /// Keeps the answer for the duplicates to come.
    package mutating func answer(_ messageID: UInt16, token: Token, with answer: Answer) {
        guard let place = place(of: messageID), entries[place].token == token else { return }
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
            if entries[place].code == .get { entries[place].expiresAt = .distantPast }
        }
    }

    /// Forgets a request that may as well be carried out again: a GET whose response would keep a large body in memory.
    package mutating func forget(_ messageID: UInt16, token: Token) {
        guard let place = place(of: messageID), entries[place].token == token else { return }
        bytes -= entries[place].answer.size
        entries[place].answer = .pending
        entries[place].expiresAt = .distantPast
    }

    private func makeEntry(_ request: CoAPRequest, _ now: NIODeadline) -> Entry {
        let lifetime = request.isConfirmable ? Self.exchangeLifetime : Self.nonLifetime
        return Entry(token: request.token, code: request.code, expiresAt: now + lifetime, answer: .pending)
    }

    private func place(of messageID: UInt16) -> Int? { messageIDs.firstIndex(of: messageID) }
}
