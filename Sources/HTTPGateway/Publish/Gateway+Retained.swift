import BrokerCore
import HTTPServer
import HTTPTypes
import MQTTCodec
import NIOCore

extension Gateway {
    /// `GET` and `HEAD /v1/topics/{topic}`: the retained message, or 304 when the client has it already.
    func retained(_ exchange: Exchange, path: String) async throws(Problem) -> Response {
        let topic: TopicName
        do throws(Problem) {
            topic = try TopicPath.topic(path)
        } catch {
            let hasWildcard = PercentEncoding.decode(path)?.contains { $0 == 0x2b || $0 == 0x23 } ?? false
            let words = "this reads one topic: with wildcards, subscribe at /v1/subscribe?topic="
            throw hasWildcard ? .badRequest(words, .topicNameInvalid) : error
        }
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
