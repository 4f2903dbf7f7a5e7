import BrokerCore
import CoreRuntime
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore

/// A client that reads what `$SYS` says of a webhook, every 20 milliseconds.
final class SystemTopicWatcher: Sendable {
    private struct State {
        /// The latest, by topic below the webhook's own.
        var values: [String: String] = [:]
        var waiting: (isSo: @Sendable ([String: String]) -> Bool, promise: EventLoopPromise<Bool>)?
    }

    private let core: CoreLoop
    private let state = NIOLockedValueBox(State())

    init(of webhook: String, _ core: CoreLoop) async {
        self.core = core
        let prefix = "$SYS/broker/webhooks/\(webhook)/"
        await core.perform { [state] broker in
            broker.publishSystemTopics(every: .milliseconds(20), version: "1")
            let sink = MessageSink(
                capacity: .max,
                receive: { batch in state.withLockedValue { Self.take(batch, prefix, &$0) }?.succeed(true) },
                closed: { _ in }
            )
            let connection = VirtualConnection(transportProtocol: .mqtt, remoteAddress: "", outlet: .messages(sink))
            broker.connect(ConnectRequest(clientID: "watcher"), on: connection) { _ in }
            broker.subscribe([Subscribe.Subscription(filter: "\(prefix)#")], identifier: nil, on: connection) { _ in }
        }
    }

    /// - Returns: the promise of the one who has waited for this.
    private static func take(_ batch: [Delivery], _ prefix: String, _ state: inout State) -> EventLoopPromise<Bool>? {
        for delivery in batch {
            let name = String(delivery.message.topic.description.dropFirst(prefix.count))
            state.values[name] = String(buffer: delivery.message.payload)
        }
        guard let waiting = state.waiting, waiting.isSo(state.values) else { return nil }
        state.waiting = nil
        return waiting.promise
    }

    var values: [String: String] { state.withLockedValue { $0.values } }

    /// Waits until it says so.
    ///
    /// - Returns: whether it did in time.
    func become(_ wanted: [String: String]) async -> Bool {
        await become { values in wanted.allSatisfy { values[$0.key] == $0.value } }
    }

    /// Waits until what it says is as wanted.
    ///
    /// - Returns: whether it was in time.
    func become(_ isSo: @escaping @Sendable ([String: String]) -> Bool) async -> Bool {
        let promise = core.eventLoop.makePromise(of: Bool.self)
        let isSoAlready = state.withLockedValue { state in
            if isSo(state.values) { return true }
            state.waiting = (isSo, promise)
            return false
        }
        if isSoAlready { promise.succeed(true) }
        let deadline = core.eventLoop.scheduleTask(in: .seconds(40)) { promise.succeed(false) }
        defer { deadline.cancel() }
        return (try? await promise.futureResult.get()) ?? false
    }
}
