import CoAPGateway
import NIOCore
import Testing

@Suite struct DuplicateFilterTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func receive(
        _ filter: inout DuplicateFilter,
        _ messageID: UInt16,
        after seconds: Int64 = 0,
        confirmable: Bool = true,
        token: [UInt8] = [7],
        code: CoAPCode = .post,
        uri: String = "/ps/a",
        payload: String = ""
    ) -> DuplicateFilter.Answer? {
        filter.receive(
            request(
                code,
                uri,
                confirmable: confirmable,
                messageID: messageID,
                token: token,
                payload: Array(payload.utf8)
            ),
            now: start + .seconds(seconds)
        )
    }

    private func made(_ messageID: UInt16, _ code: CoAPCode = .post) -> CoAPRequest {
        request(code, "/ps/a", messageID: messageID)
    }

    @Test("the second of one Message ID is a duplicate, with the first one's answer")
    func duplicates() {
        var filter = DuplicateFilter(capacity: 4)
        #expect(receive(&filter, 1) == nil)
        guard case .pending = receive(&filter, 1) else {
            Issue.record("not pending")
            return
        }
        filter.answer(made(1), with: .response(CoAPResponse(.changed)))
        guard case .response(let response) = receive(&filter, 1) else {
            Issue.record("no response")
            return
        }
        #expect(response.code == .changed)
        #expect(receive(&filter, 2) == nil)
    }

    @Test("of a response with nothing but a code only the code is kept, of any other all of it")
    func answers() {
        guard case .code(.changed) = DuplicateFilter.Answer(CoAPResponse(.changed)) else {
            Issue.record("more than the code")
            return
        }
        let fields: [(inout CoAPResponse) -> Void] = [
            { $0.eTag = 1 }, { $0.observe = 1 }, { $0.locationPath = ["a"] }, { $0.contentFormat = 0 },
            { $0.maxAge = 0 },
            { $0.block1 = Block(number: 0, more: false, sizeExponent: 6) },
            { $0.block2 = Block(number: 0, more: false, sizeExponent: 6) }, { $0.size1 = 0 }, { $0.size2 = 0 },
            { $0.echo = [] }, { $0.payload = .text("") },
        ]
        for change in fields {
            var response = CoAPResponse(.changed)
            change(&response)
            guard case .response = DuplicateFilter.Answer(response) else {
                Issue.record("not kept: \(response)")
                return
            }
        }
    }

    @Test("RFC 7252 §4.8.2: a Message ID is free after 247 seconds, a non-confirmable one's after 145")
    func lifetimes() {
        var filter = DuplicateFilter(capacity: 4)
        #expect(receive(&filter, 1) == nil)
        #expect(receive(&filter, 2, confirmable: false) == nil)
        #expect(receive(&filter, 2, after: 144, confirmable: false) != nil)
        #expect(receive(&filter, 2, after: 145, confirmable: false) == nil)
        #expect(receive(&filter, 1, after: 246) != nil)
        #expect(receive(&filter, 1, after: 247) == nil)
    }

    @Test("a known Message ID with another token, method, path or payload is a new message")
    func restartedClients() {
        var filter = DuplicateFilter(capacity: 4)
        #expect(receive(&filter, 1, token: [1]) == nil)
        #expect(receive(&filter, 1, token: [2]) == nil)
        #expect(receive(&filter, 1, token: [2], code: .put) == nil)
        #expect(receive(&filter, 1, token: [2], code: .put) != nil)
        #expect(receive(&filter, 1, token: [2], code: .put, uri: "/ps/b") == nil)
        #expect(receive(&filter, 1, token: [2], code: .put, uri: "/ps/b", payload: "2") == nil)
        #expect(receive(&filter, 1, token: [2], code: .put, uri: "/ps/b", payload: "2") != nil)
        #expect(filter.count == 1)
    }

    @Test("the oldest message makes room for a new one")
    func capacity() {
        var filter = DuplicateFilter(capacity: 3)
        for messageID: UInt16 in 1...4 { #expect(receive(&filter, messageID) == nil) }
        #expect(filter.count == 3)
        #expect(receive(&filter, 2) != nil)
        #expect(receive(&filter, 4) != nil)
        #expect(receive(&filter, 1) == nil)
    }

    @Test("a filter that has grown forgets nothing that may still come again, and gives its room back afterwards")
    func growth() {
        var filter = DuplicateFilter(capacity: 4)
        for messageID: UInt16 in 0..<4_096 {
            if filter.isFull(now: start) { filter.grow() }
            #expect(receive(&filter, messageID) == nil)
        }
        #expect(filter.count == 4_096)
        #expect(filter.extra == 4_092)
        for messageID: UInt16 in 0..<4_096 { #expect(receive(&filter, messageID, after: 246) != nil) }
        #expect(receive(&filter, 5_000, after: 247) == nil)
        #expect(filter.count == 1)
        #expect(filter.extra == 0)
    }

    @Test("a filter that is full and may not grow goes round")
    func fullAfterGrowth() {
        var filter = DuplicateFilter(capacity: 2)
        for messageID: UInt16 in 0..<3 {
            if filter.isFull(now: start) { filter.grow() }
            _ = receive(&filter, messageID)
        }
        for messageID: UInt16 in 3..<9 { #expect(receive(&filter, messageID) == nil) }
        #expect(filter.count == 4)
        for messageID: UInt16 in 5..<9 { #expect(receive(&filter, messageID) != nil) }
        #expect(receive(&filter, 1) == nil)
    }

    @Test("a filter grows until each Message ID has its place")
    func largest() {
        var filter = DuplicateFilter(capacity: 64)
        while filter.growth > 0 { filter.grow() }
        #expect(filter.extra == 65_536 - 64)
    }

    @Test("a forgotten request may be carried out again")
    func forgotten() {
        var filter = DuplicateFilter(capacity: 3)
        #expect(receive(&filter, 1) == nil)
        filter.forget(made(1))
        #expect(receive(&filter, 1) == nil)
    }

    @Test(
        "the responses kept for one endpoint are bounded by their bytes: of the oldest the code is kept, a GET is made again"
    )
    func responseBytes() {
        var filter = DuplicateFilter(capacity: 64)
        var large = CoAPResponse(.content)
        large.payload = .text(String(repeating: "x", count: 1_000))
        for messageID: UInt16 in 1...20 {
            #expect(receive(&filter, messageID, code: messageID == 1 ? .get : .post) == nil)
            filter.answer(made(messageID, messageID == 1 ? .get : .post), with: DuplicateFilter.Answer(large))
            #expect(filter.bytes <= 4_096)
        }
        guard case .response = receive(&filter, 20), case .code(.content) = receive(&filter, 2) else {
            Issue.record("not the newest, or more than the code of an old one")
            return
        }
        #expect(receive(&filter, 1, code: .get) == nil)
        for messageID: UInt16 in 100...200 { #expect(receive(&filter, messageID) == nil) }
        #expect(filter.bytes == 0)
    }
}
