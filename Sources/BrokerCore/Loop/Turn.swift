import NIOCore

/// One turn of the core: the time of the current event, the work since other events were handled, and the backlog.
struct Turn {
    /// The time of the current event.
    var now: NIODeadline
    /// The work of this turn in units of about 50 ns, without the router's.
    var effort = 0
    /// The effort at which the turn is over.
    var end = Backlog.effort
    var backlog = Backlog()
    /// Whether due timers are handled in slices.
    var isBehindTime = false
    /// Ended connections that are handled later, since the owner last took the number.
    var endsPutOff = 0

    init(now: NIODeadline) { self.now = now }
}
