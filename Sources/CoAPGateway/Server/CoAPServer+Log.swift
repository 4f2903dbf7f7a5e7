import BrokerCore
import CoreRuntime

extension CoAPServer {
    /// A request is refused before the core has seen it.
    ///
    /// Who is not let in is told to everybody who reads the log; what is wrong with a request is told to its client, and in
    /// the log to those who debug.
    func noteRefused(_ failure: CoAPFailure, _ request: CoAPRequest, _ endpoint: Endpoint) {
        guard failure != .unproven else { return }
        let isRefusedClient = failure.code == .unauthorized || failure.code == .forbidden
        events.note(
            isRefusedClient ? .clientRefused : .requestRefused,
            by: ClientAddress(endpoint.origin.remoteAddress),
            [
                .userName(endpoint.origin.identity), .protocolName("coap"), .method(request.code.methodName),
                .path("/" + request.path.joined(separator: "/")), .reason("\(failure.code)"),
                .detail(failure.diagnostic),
            ]
        )
    }
}

extension CoAPCode {
    fileprivate var methodName: String {
        switch self {
        case .get: "GET"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .fetch: "FETCH"
        case .patch: "PATCH"
        case .iPatch: "iPATCH"
        default: "\(self)"
        }
    }
}
