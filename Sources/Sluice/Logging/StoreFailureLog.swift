import BrokerCore
import Logging
import NIOCore

/// Says that the store can't write, once a minute, and that it can again.
///
/// Confined to the core loop.
final class StoreFailureLog {
    private let logger: Logger
    private var said: NIODeadline?

    init(_ logger: Logger) { self.logger = logger }

    /// - Parameter failure: nil when the store can write again.
    func report(_ failure: StoreFailure?, at now: NIODeadline) {
        guard let failure else {
            said = nil
            return logger.notice("the store can write again")
        }
        if let said, now - said < .minutes(1) { return }
        said = now
        logger.error(
            "the store can't write: what it would have to keep is refused until it can",
            metadata: ["reason": "\(failure)"]
        )
    }
}
