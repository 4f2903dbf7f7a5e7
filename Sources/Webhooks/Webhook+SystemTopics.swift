import BrokerCore

extension Webhook {
    /// What the broker publishes of it at each `sys_interval`, below `$SYS/broker/webhooks/{name}/`.
    func systemTopics(_ broker: Broker) -> [(topic: String, value: String)] {
        let statistics = statistics
        return [
            ("circuit", statistics.circuit.rawValue),
            ("requests", "\(statistics.attempts)"),
            ("requests/failed", "\(statistics.failures)"),
            ("requests/retries", "\(statistics.retries)"),
            ("messages/delivered", "\(statistics.delivered)"),
            ("messages/refused", "\(statistics.refused)"),
            ("messages/waiting", "\(broker.pendingMessages(of: configuration.sessionName))"),
        ]
    }
}
