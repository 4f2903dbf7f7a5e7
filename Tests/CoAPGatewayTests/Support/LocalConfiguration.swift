import CoAPGateway

extension CoAPListener.Configuration {
    /// Any free port of the loopback interface, and whatever else is asked for.
    static func local(_ change: (inout Self) -> Void = { _ in }) -> Self {
        var configuration = Self(host: "127.0.0.1", port: 0)
        // Nothing is sent again but in tests that ask for it: a busy machine may stand still for a minute.
        configuration.acknowledgeTimeout = 600_000
        configuration.separateResponseAfter = 600_000
        configuration.fetchPause = 600_000
        change(&configuration)
        return configuration
    }
}
