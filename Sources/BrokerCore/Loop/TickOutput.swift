/// The work for the end of a tick, for all its events at once.
struct TickOutput {
    /// Connections with output to flush.
    var dirty: ContiguousArray<VirtualConnection> = []
    /// Clients to be disconnected once the current message has been routed to all destinations.
    var overflowed: [Session] = []
    /// Sessions whose client has left: their queues are unloaded from memory, unless the client has returned.
    var departed: [Session] = []
    /// Bytes of wide fan-outs in this tick; see `Broker.noteFanOut`.
    var fannedOut = 0
    /// Whether the host has been asked to end the tick.
    var isRequested = false
    /// The encodings of the PUBLISH that is being routed, for its further subscribers.
    var templates = PublishTemplates()
}
