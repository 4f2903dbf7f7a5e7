import BrokerCore
import CoreRuntime
import HTTPServer
import HTTPTypes
import NIOCore

extension Gateway {
    /// `GET` and `HEAD /v1/health`: 200, or 503 while the store can't write and what it would have to keep is refused.
    ///
    /// For probes, which have no credentials; so it does not say what is wrong, which the log does.
    func health(isHead: Bool) async throws(Problem) -> Response {
        guard await core.perform({ $0.isStoreWriting }) else { throw .storeUnavailable }
        return Response(
            status: .ok,
            headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ByteBuffer(string: #"{"status":"ok"}"#),
            isHead: isHead
        )
    }
}
