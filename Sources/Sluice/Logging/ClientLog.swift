import BrokerCore
import Logging
import MQTTCodec

/// Logs what becomes of clients: coming and going for those who debug, mistakes for everybody.
///
/// A flood of mistakes, such as an attack makes, writes so many lines a second and a count of the rest.
final class ClientLog: ClientObserver {
    private static let linesPerSecond = 50

    private let logger: Logger
    private let clock = ContinuousClock()
    private var second: ContinuousClock.Instant
    private var lines = 0

    init(_ logger: Logger) {
        self.logger = logger
        second = clock.now
    }

    func client(_ connection: VirtualConnection, _ event: ClientEvent) {
        switch event {
        case .connected(let clientID, let userName):
            logger.debug("client connected", metadata: metadata(connection, clientID, userName: userName))
        case .left(let clientID, let reason):
            logger.debug("client left", metadata: metadata(connection, clientID, reason))
        case .refused(let reason, let detail):
            log("client refused", connection, nil, reason, detail)
        case .ended(let clientID, let reason, let detail):
            // Taken over, shutting down: nobody's mistake.
            guard detail != nil || reason == .keepAliveTimeout || reason == .quotaExceeded else {
                logger.debug("client disconnected", metadata: metadata(connection, clientID, reason))
                return
            }
            log("client disconnected", connection, clientID, reason, detail)
        }
    }

    private func log(
        _ words: Logger.Message,
        _ connection: VirtualConnection,
        _ clientID: String?,
        _ reason: ReasonCode,
        _ detail: String?
    ) {
        let now = clock.now
        if now - second >= .seconds(1) {
            if lines > Self.linesPerSecond {
                logger.info("more clients made mistakes", metadata: ["count": "\(lines - Self.linesPerSecond)"])
            }
            second = now
            lines = 0
        }
        lines += 1
        guard lines <= Self.linesPerSecond else { return }
        var metadata = metadata(connection, clientID, reason)
        if let detail { metadata["detail"] = "\(detail.printable)" }
        logger.info(words, metadata: metadata)
    }

    private func metadata(
        _ connection: VirtualConnection,
        _ clientID: String?,
        _ reason: ReasonCode? = nil,
        userName: String? = nil
    ) -> Logger.Metadata {
        var metadata: Logger.Metadata = [
            "protocol": "\(connection.transportProtocol.rawValue)", "address": "\(connection.remoteAddress)",
        ]
        if let clientID { metadata["client_id"] = "\(clientID.printable)" }
        if let reason { metadata["reason"] = "\(reason.name)" }
        if let userName { metadata["user_name"] = "\(userName.printable)" }
        return metadata
    }
}

extension String {
    /// With control characters escaped, so that no client can write lines of its own into the log.
    fileprivate var printable: String {
        guard unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return self }
        return String(debugDescription.dropFirst().dropLast())
    }
}
