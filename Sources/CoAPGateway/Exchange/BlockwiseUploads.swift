import MQTTCodec
package import NIOCore

/// Puts together the bodies one endpoint uploads in blocks (RFC 7959 §2.5); sans I/O.
///
/// Blocks come in order. Memory grows with the bytes received, never with the size a client announces.
package struct BlockwiseUploads: Sendable {
    /// Tells uploads of one endpoint apart.
    private struct Key: Hashable {
        let code: CoAPCode
        let resource: ResourceKey
        let requestTags: [[UInt8]]
    }

    private struct Upload {
        var body: [UInt8]
        /// Where the last block began, bytes, so that one sent again is known.
        var lastOffset: Int
        var expiresAt: NIODeadline
    }

    /// What a block brings about.
    package enum Progress: Sendable, Equatable {
        /// 2.31: more are to come.
        case `continue`
        /// The whole body.
        case complete([UInt8])
    }

    /// What all endpoints' uploads share.
    package struct Bounds: Sendable {
        /// Bytes of one body.
        package var body: Int
        /// Uploads of one endpoint at a time.
        package var uploads: Int
        /// How long an upload waits for its next block.
        package var timeout: TimeAmount

        package init(body: Int, uploads: Int, timeout: TimeAmount) {
            self.body = body
            self.uploads = uploads
            self.timeout = timeout
        }
    }

    private var uploads: [Key: Upload] = [:]
    /// Bytes of the unfinished bodies.
    package private(set) var bytes = 0

    package init() {}

    package var isEmpty: Bool { uploads.isEmpty }

    /// Takes a block in.
    ///
    /// - Parameter budget: bytes that may still be added by all endpoints together.
    /// - Throws: 4.08 for a gap, 4.13 for too large a body, 4.00 for a block of the wrong length, 4.29 and 5.03 when there
    ///   are too many uploads.
    package mutating func receive(
        _ block: Block,
        of request: CoAPRequest,
        bounds: Bounds,
        budget: Int,
        now: NIODeadline
    ) throws(CoAPFailure) -> Progress {
        let key = Key(code: request.code, resource: ResourceKey(request), requestTags: request.requestTags)
        do throws(CoAPFailure) {
            return try receive(block, request, key, bounds, budget, now)
        } catch {
            discard(key)
            throw error
        }
    }

    private mutating func receive(
        _ block: Block,
        _ request: CoAPRequest,
        _ key: Key,
        _ bounds: Bounds,
        _ budget: Int,
        _ now: NIODeadline
    ) throws(CoAPFailure) -> Progress {
        let payload = request.payload
        guard block.allows(payload.count) else {
            throw CoAPFailure(.malformedPacket, "a block that is not as long as it says")
        }
        guard request.size1 ?? 0 <= UInt64(bounds.body), block.offset + payload.count <= bounds.body else {
            throw CoAPFailure.tooLarge(bounds.body)
        }
        if block.offset == 0 {
            discard(key)
            guard block.more else { return .complete(payload) }
            try begin(key, payload, bounds, budget, now)
            return .continue
        }
        guard var upload = uploads[key] else {
            throw CoAPFailure(.requestEntityIncomplete, "the blocks before this one are missing")
        }
        upload.expiresAt = now + bounds.timeout
        let isRepeated = block.more && block.offset == upload.lastOffset
        guard isRepeated || block.offset == upload.body.count else {
            throw CoAPFailure(.requestEntityIncomplete, "a block is missing before this one")
        }
        guard payload.count <= budget else { throw CoAPFailure(.serverBusy, "too many uploads") }
        // Taken out while it grows, so that growing does not copy it.
        discard(key)
        if !isRepeated {
            upload.lastOffset = block.offset
            upload.body += payload
        }
        guard block.more else { return .complete(upload.body) }
        uploads[key] = upload
        bytes += upload.body.count
        return .continue
    }

    private mutating func begin(
        _ key: Key,
        _ payload: [UInt8],
        _ bounds: Bounds,
        _ budget: Int,
        _ now: NIODeadline
    ) throws(CoAPFailure) {
        guard uploads.count < bounds.uploads else { throw CoAPFailure(.quotaExceeded, "too many uploads at a time") }
        guard payload.count <= budget else { throw CoAPFailure(.serverBusy, "too many uploads") }
        uploads[key] = Upload(body: payload, lastOffset: 0, expiresAt: now + bounds.timeout)
        bytes += payload.count
    }

    private mutating func discard(_ key: Key) {
        if let upload = uploads.removeValue(forKey: key) { bytes -= upload.body.count }
    }

    /// Drops the uploads whose next block has not come in time.
    package mutating func expire(now: NIODeadline) {
        for (key, upload) in uploads where upload.expiresAt <= now { discard(key) }
    }
}
