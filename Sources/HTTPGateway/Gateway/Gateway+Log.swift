import BrokerCore
import CoreRuntime
import HTTPTypes
import NIOCore

extension Gateway {
    /// A request is not served.
    ///
    /// Who is not let in is told to everybody who reads the log, unless the core has done so; what is wrong with a request is
    /// told to its client, and in the log to those who debug.
    ///
    /// - Parameters:
    ///   - what: the method of a request, or the `op` of a message in a WebSocket.
    ///   - path: without its query, which may have a token in it.
    func noteRefused(
        _ problem: Problem,
        _ what: String,
        _ path: String,
        origin: String? = nil,
        by address: ClientAddress,
        over name: String = "http"
    ) {
        let isRefusedClient = !problem.isTold && [401, 403, 421].contains(problem.status.code)
        events.note(
            isRefusedClient ? .clientRefused : .requestRefused,
            by: address,
            [
                .protocolName(name), .method(what), .path(path), .origin(origin), .reason(problem.status.reasonPhrase),
                .reasonCode(problem.status.code), .detail(problem.detail),
            ]
        )
    }
}

extension RequestHandler {
    /// Tells the log why the request in hand is not served.
    func noteRefused(_ problem: Problem) {
        let forwarded = head.headerFields.values(of: .forwardedFor)
        gateway.noteRefused(
            problem,
            head.method.rawValue,
            RequestTarget(head.path ?? "").path,
            origin: head.headerFields[.origin],
            by: client.address(forwarded: forwarded)
        )
    }
}
