package import BrokerCore
package import NIOCore

/// Keeps the bodies an endpoint is fetching in blocks, so that all blocks are of one message (RFC 7959 §2.4); sans I/O.
///
/// A request for a later block does not say which body it wants, so the last one sent for its resource is meant.
package struct BlockwiseSnapshots: Sendable {
    private struct Snapshot {
        let message: Message
        let eTag: UInt64?
        let contentFormat: UInt16?
        var expiresAt: NIODeadline
    }

    private var snapshots: [ResourceKey: Snapshot] = [:]
    /// Bytes of the bodies kept.
    package private(set) var bytes = 0

    package init() {}

    package var isEmpty: Bool { snapshots.isEmpty }

    /// Drops bodies, those nearest to their end first, until there is room for one more: for fewer than `capacity`, and
    /// as `isEnough` says of the bytes given back.
    package mutating func makeRoom(for resource: ResourceKey, capacity: Int, _ isEnough: (_ freed: Int) -> Bool) {
        let before = bytes
        remove(resource)
        while snapshots.count >= capacity || !isEnough(before - bytes),
            let oldest = snapshots.min(by: { $0.value.expiresAt < $1.value.expiresAt })
        {
            remove(oldest.key)
        }
    }

    private mutating func remove(_ resource: ResourceKey) {
        if let removed = snapshots.removeValue(forKey: resource) { bytes -= removed.message.cost }
    }

    /// Keeps a body whose first block is being sent.
    package mutating func keep(
        _ message: Message,
        eTag: UInt64?,
        contentFormat: UInt16?,
        for resource: ResourceKey,
        until expiresAt: NIODeadline
    ) {
        remove(resource)
        bytes += message.cost
        snapshots[resource] = Snapshot(
            message: message,
            eTag: eTag,
            contentFormat: contentFormat,
            expiresAt: expiresAt
        )
    }

    /// The response to a request for a later block.
    ///
    /// - Returns: nil when no body is kept for it.
    /// - Throws: 4.00 for a block beyond its end.
    package mutating func response(
        to request: CoAPRequest,
        block: Block,
        room: MessageRoom = .datagram,
        now: NIODeadline,
        until expiresAt: NIODeadline
    ) throws(CoAPFailure) -> CoAPResponse? {
        let resource = ResourceKey(request)
        guard let snapshot = snapshots[resource], snapshot.expiresAt > now else { return nil }
        snapshots[resource]?.expiresAt = expiresAt
        var response = CoAPResponse(.content)
        response.room = room
        response.eTag = snapshot.eTag
        response.contentFormat = snapshot.contentFormat
        try response.cut(snapshot.message, wanted: block)
        return response
    }

    /// Drops the bodies nobody has fetched a block of for long.
    package mutating func expire(now: NIODeadline) {
        for (resource, snapshot) in snapshots where snapshot.expiresAt <= now { remove(resource) }
    }
}
