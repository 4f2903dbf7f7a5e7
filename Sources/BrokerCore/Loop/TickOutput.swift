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
    /// Slices of long work since all output has left.
    var slices = 0
    /// The encodings of the PUBLISH that is being routed, for its further subscribers.
    var templates = PublishTemplates()

    /// Slices of long work after which all output leaves, at the latest.
    private static let mostSlices = 4
    /// Connections whose output leaves after each slice.
    static let latest = 64

    /// Whether most output stays for now: to write to each of very many connections after each slice, a few bytes at a time,
    /// would take longer than the slices themselves.
    var isPutOff: Bool { slices > 0 && slices < Self.mostSlices }
}
