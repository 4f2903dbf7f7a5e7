import BrokerCore
import HTTPTypes
import MQTTCodec
import NIOCore

extension Gateway {
    /// `GET` and `HEAD /v1/topics/{topic}`: the retained message, or 304 when the client has it already.
    func retained(_ exchange: Exchange, path: String) async throws(Problem) -> Response {
        let topic = try TopicPath.topic(path)
        let identity = try exchange.identity(tokens)
        let found = try await core.transact(as: identity) { broker, connection in
            broker.retainedValue(of: topic, for: connection)
        }
        switch found {
        case .failure(let refused): throw Problem(refused.reasonCode)
        case .success(nil): throw .notFound("no message is retained for \(topic)")
        case .success(let value?):
            return try value.response(Preconditions(exchange.fields), isHead: exchange.method == .head)
        }
    }
}

extension Broker {
    /// The retained message of a topic, with the time it has left.
    func retainedValue(
        of topic: TopicName,
        for connection: VirtualConnection
    ) -> Result<RetainedValue?, RequestRefused> {
        retainedMessage(of: topic, for: connection).map { message in
            message.map { RetainedValue(message: $0, maximumAge: $0.remainingExpiryInterval(at: now)) }
        }
    }
}
