/// What is to be done at the end of a tick, for all that has happened in it at once.
struct TickOutput {
    /// Connections that have something to flush.
    var dirty: ContiguousArray<VirtualConnection> = []
    /// Clients to be disconnected once the message that is being routed has reached everybody.
    var overflowed: [Session] = []
    /// Sessions whose client has left: their queues need not be in memory, unless it is back already.
    var departed: [Session] = []
    /// Bytes written for many clients at once; see `Broker.noteFanOut`.
    var fannedOut = 0
    /// Whether the host knows that there is something to be done.
    var isRequested = false
    /// The PUBLISH that is being routed, as it was encoded for earlier subscribers.
    var templates = PublishTemplates()
}
