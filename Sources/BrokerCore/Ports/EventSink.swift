/// Takes the events of clients, for the log; called on the core loop, so it must not block.
package protocol EventSink: AnyObject, Sendable {
    /// Logs an event, unless its level is not logged or too many of its kind are.
    ///
    /// - Parameters:
    ///   - network: the network of the client, whose rate it uses; nil when it is not known.
    ///   - level: nil is the kind's level.
    ///   - fields: evaluated only when the event is logged.
    func note(_ kind: Event.Kind, of network: ClientNetwork?, level: Event.Level?, _ fields: () -> [Event.Field])
}
