import NIOCore

/// The number of messages that a full queue has dropped since the last log event.
final class QueueOverflow {
    var dropped = 0
    private(set) var isUntold = true
    private(set) var toldAt = NIODeadline.distantPast

    func told(at now: NIODeadline) {
        isUntold = false
        toldAt = now
        dropped = 0
    }
}
