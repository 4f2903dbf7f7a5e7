import BrokerCore
import CoreRuntime
import HTTPServer
import HTTPTypes

extension Gateway {
    /// Logs that an operation in a WebSocket was refused.
    ///
    /// - Parameter what: the protocol of the operation.
    func noteRefused(_ problem: Problem, _ what: String, _ path: String, by address: ClientAddress, over name: String) {
        events.noteRefused(problem.refused, what, path, by: address, over: name)
    }
}
