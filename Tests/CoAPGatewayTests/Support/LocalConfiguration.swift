import CoAPGateway

extension CoAPListener.Configuration {
    /// Any free port of the loopback interface, and whatever else is asked for.
    static func local(_ change: (inout Self) -> Void = { _ in }) -> Self {
        var configuration = Self(host: "127.0.0.1", port: 0)
        // Nothing is sent again but in tests that ask for it: on a busy machine two seconds are soon over.
        configuration.acknowledgeTimeout = 50_000
        configuration.separateResponseAfter = 60_000
        configuration.fetchPause = 60_000
        change(&configuration)
        return configuration
    }
}
