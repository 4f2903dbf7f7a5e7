package import BrokerCore
package import CoreRuntime
import HTTPTypes

extension EventLog {
    /// Logs that a request was not served.
    ///
    /// A client that may not come in is logged for everybody who reads the log, unless that has been done; what is wrong with
    /// a request is told to its client, and logged for those who debug.
    ///
    /// - Parameters:
    ///   - what: the method of a request, or the name of an operation in a WebSocket.
    ///   - path: without its query, which may have a token in it.
    package func noteRefused(
        _ refused: Response.Refused,
        _ what: String,
        _ path: String,
        origin: String? = nil,
        by address: @autoclosure () -> ClientAddress,
        over name: String = "http"
    ) {
        let isRefusedClient = !refused.isTold && [401, 403, 421].contains(refused.status.code)
        note(
            isRefusedClient ? .clientRefused : .requestRefused,
            by: address(),
            [
                .protocolName(name), .method(what), .path(path), .origin(origin), .reason(refused.status.reasonPhrase),
                .reasonCode(refused.status.code), .detail(refused.detail),
            ]
        )
    }
}
