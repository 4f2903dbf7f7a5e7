import CoAPGateway
import NIOCore
import Testing

@Suite struct BlockwiseUploadsTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let bounds = BlockwiseUploads.Bounds(body: 100, uploads: 2, timeout: .seconds(93))

    private func receive(
        _ uploads: inout BlockwiseUploads,
        _ number: UInt32,
        more: Bool,
        bytes: Int = 16,
        uri: String = "/ps/a",
        options: [(UInt16, [UInt8])] = [],
        budget: Int = 1_000,
        after seconds: Int64 = 0
    ) throws -> BlockwiseUploads.Progress {
        try uploads.receive(
            Block(number: number, more: more, sizeExponent: 0),
            of: request(
                .put,
                uri,
                options: options,
                payload: Array(repeating: UInt8(truncatingIfNeeded: number), count: bytes)
            ),
            bounds: bounds,
            budget: budget,
            now: start + .seconds(seconds)
        )
    }

    private func expect(_ code: CoAPCode, _ body: () throws -> BlockwiseUploads.Progress) {
        #expect(performing: body, throws: { ($0 as? CoAPFailure)?.code == code })
    }

    @Test("blocks in order are a body, and nothing of it stays behind")
    func inOrder() throws {
        var uploads = BlockwiseUploads()
        #expect(try receive(&uploads, 0, more: true) == .continue)
        #expect(try receive(&uploads, 1, more: true) == .continue)
        #expect(uploads.bytes == 32)
        let whole = Array(repeating: UInt8(0), count: 16) + Array(repeating: 1, count: 16) + [2, 2]
        #expect(try receive(&uploads, 2, more: false, bytes: 2) == .complete(whole))
        #expect(uploads.isEmpty)
        #expect(uploads.bytes == 0)
    }

    @Test("the last block received may come again under another Message ID")
    func repeated() throws {
        var uploads = BlockwiseUploads()
        #expect(try receive(&uploads, 0, more: true) == .continue)
        #expect(try receive(&uploads, 1, more: true) == .continue)
        #expect(try receive(&uploads, 1, more: true) == .continue)
        #expect(uploads.bytes == 32)
    }

    @Test("RFC 7959 §2.9.2: a gap, or a block out of nowhere, is 4.08 and ends the upload")
    func gaps() throws {
        var uploads = BlockwiseUploads()
        expect(.requestEntityIncomplete) { try receive(&uploads, 1, more: true) }
        #expect(try receive(&uploads, 0, more: true) == .continue)
        expect(.requestEntityIncomplete) { try receive(&uploads, 2, more: true) }
        #expect(uploads.isEmpty)
        #expect(uploads.bytes == 0)
    }

    @Test("a block that is not as long as it says is 4.00")
    func wrongLength() {
        var uploads = BlockwiseUploads()
        expect(.badRequest) { try receive(&uploads, 0, more: true, bytes: 15) }
        expect(.badRequest) { try receive(&uploads, 0, more: false, bytes: 17) }
    }

    @Test("RFC 7959 §2.9.3: a body that is too large is 4.13, whether Size1 says so or not")
    func tooLarge() throws {
        var uploads = BlockwiseUploads()
        expect(.requestEntityTooLarge) { try receive(&uploads, 0, more: true, options: [(60, [101])]) }
        for number: UInt32 in 0..<6 { #expect(try receive(&uploads, number, more: true) == .continue) }
        expect(.requestEntityTooLarge) { try receive(&uploads, 6, more: false, bytes: 5) }
        #expect(uploads.bytes == 0)
        expect(.requestEntityTooLarge) { try receive(&uploads, 0xf_ffff, more: false) }
    }

    @Test("block 0 begins anew")
    func restarted() throws {
        var uploads = BlockwiseUploads()
        #expect(try receive(&uploads, 0, more: true) == .continue)
        #expect(try receive(&uploads, 1, more: true) == .continue)
        #expect(try receive(&uploads, 0, more: true) == .continue)
        #expect(uploads.bytes == 16)
    }

    @Test("uploads are told apart by resource and Request-Tag, and are bounded in number and bytes")
    func severalAtOnce() throws {
        var uploads = BlockwiseUploads()
        #expect(try receive(&uploads, 0, more: true) == .continue)
        #expect(try receive(&uploads, 0, more: true, options: [(292, [1])]) == .continue)
        expect(.tooManyRequests) { try receive(&uploads, 0, more: true, uri: "/ps/b") }
        #expect(try receive(&uploads, 1, more: true) == .continue)
        expect(.serviceUnavailable) { try receive(&uploads, 2, more: true, budget: 15) }
        #expect(uploads.bytes == 16)
    }

    @Test("an upload whose next block does not come is dropped")
    func expiry() throws {
        var uploads = BlockwiseUploads()
        #expect(try receive(&uploads, 0, more: true) == .continue)
        #expect(try receive(&uploads, 1, more: true, after: 92) == .continue)
        uploads.expire(now: start + .seconds(184))
        #expect(!uploads.isEmpty)
        uploads.expire(now: start + .seconds(185))
        #expect(uploads.isEmpty)
        #expect(uploads.bytes == 0)
    }

    @Test("RFC 7959 §2.2: a Block option has up to 3 bytes; with SZX 7 it is BERT (RFC 8323 §6)")
    func options() {
        #expect(Block(([0x0e] as [UInt8]).span.bytes) == Block(number: 0, more: true, sizeExponent: 6))
        #expect(Block([UInt8]().span.bytes) == Block(number: 0, more: false, sizeExponent: 0))
        #expect(Block(([0xff, 0xff, 0xf6] as [UInt8]).span.bytes)?.number == 0xf_ffff)
        #expect(Block(([0x0f] as [UInt8]).span.bytes)?.isBERT == true)
        #expect(Block(([0, 0, 0, 0] as [UInt8]).span.bytes) == nil)
    }
}
