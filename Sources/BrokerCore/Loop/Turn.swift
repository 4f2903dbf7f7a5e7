import NIOCore

/// One turn of the core: the time of the event that is being handled, what has been done for clients since other events had
/// their turn, and what waits for its own.
struct Turn {
    /// The time of the event that is being handled.
    var now: NIODeadline
    /// What has been done, in units of about 50 ns, without what the router has done.
    var effort = 0
    /// The effort at which the turn is over.
    var end = Backlog.effort
    var backlog = Backlog()
    /// Whether what is due is done in slices.
    var isBehindTime = false
    /// Whether a whole slice of the backlog was done since output left.
    var hasDoneMuch = false
    /// Connections that have ended since the owner last set it to 0, and that are seen to later.
    var endsPutOff = 0

    init(now: NIODeadline) { self.now = now }
}
