import BrokerCore
import HTTPServer
import HTTPTypes
import JSONMessages
import MQTTCodec
import NIOCore

extension Gateway {
    /// `POST /publish`: a raw body when the query names the topic, else JSON.
    func publish(_ exchange: Exchange, _ body: ByteBuffer) async throws(Problem) -> PublishAnswer {
        if let topic = try exchange.query.string("topic") {
            let options = try PublishOptions(exchange.query, exchange.fields)
            let message = try options.request(topic: try TopicPath.name(topic), payload: body)
            return try await publish([message], isBatch: false, exchange)
        }
        if let contentType = exchange.fields[.contentType] {
            let type = MediaType(contentType)
            guard type.isJSON || type.isForm || type.essence == "text/plain" else {
                throw Problem(
                    .unsupportedMediaType,
                    .payloadFormatInvalid,
                    "without ?topic= the body must be application/json",
                    headers: [.accept: "application/json"]
                )
            }
        }
        let read = await JSONReader.read(body) { [maximum = configuration.maximumBatch] body in
            Result { () throws(Problem) in try PublishEnvelope.read(body, maximumBatch: maximum) }
        }
        let messages: [PublishRequest]
        let isBatch: Bool
        do throws(Problem) {
            (messages, isBatch) = try read.get()
        } catch {
            throw error == .notJSON ? .badRequest("the query has no topic=, and the body is not JSON") : error
        }
        return try await publish(messages, isBatch: isBatch, exchange)
    }

    /// `POST` and `PUT /v1/topics/{topic}`: the raw body; PUT retains it.
    func publish(_ exchange: Exchange, path: String, _ body: ByteBuffer) async throws(Problem) -> PublishAnswer {
        var options = try PublishOptions(exchange.query, exchange.fields)
        if exchange.method == .put {
            guard try exchange.query.flag("retain") != false else {
                throw .badRequest("PUT sets the retained message: use POST with retain=0")
            }
            options.retain = true
        }
        let message = try options.request(topic: try TopicPath.topic(path), payload: body)
        return try await publish([message], isBatch: false, exchange)
    }

    /// `DELETE /v1/topics/{topic}`: clears the retained message, by publishing an empty one [MQTT-3.3.1-6].
    func clear(_ exchange: Exchange, path: String) async throws(Problem) -> PublishAnswer {
        var options = try PublishOptions(exchange.query, exchange.fields)
        options.retain = true
        let message = try options.request(topic: try TopicPath.topic(path), payload: ByteBuffer())
        let reasonCodes = try await send([message], exchange)
        if let reason = reasonCodes.first, reason.isError { throw Problem(reason) }
        return PublishAnswer(.noContent)
    }

    private func publish(
        _ messages: [PublishRequest],
        isBatch: Bool,
        _ exchange: Exchange
    ) async throws(Problem) -> PublishAnswer {
        let reasonCodes = try await send(messages, exchange)
        let refused = reasonCodes.filter(\.isError)
        if let first = refused.first, refused.count == reasonCodes.count {
            throw Problem(first, detail: isBatch ? "no message of the batch was published: \(first.name)" : nil)
        }
        let preferences = exchange.fields.values(of: .prefer)
        if refused.isEmpty, preferences.contains(where: { $0.lowercased().contains("return=minimal") }) {
            var answer = PublishAnswer(.noContent)
            if let name = HTTPField.Name.preferenceApplied { answer.fields[name] = "return=minimal" }
            return answer
        }
        let receipts = reasonCodes.map(PublishReceipt.init)
        return PublishAnswer(
            // RFC 4918 §13: some went through, some did not, each says which.
            refused.isEmpty ? .ok : HTTPResponse.Status(code: 207, reasonPhrase: "Multi-Status"),
            [.contentType: "application/json"],
            isBatch ? JSON.encode(receipts) : receipts.first?.json ?? ByteBuffer()
        )
    }

    /// - Throws: 412 when the retained message is not the one that the request expects; nothing is published then.
    private func send(_ messages: [PublishRequest], _ exchange: Exchange) async throws(Problem) -> [ReasonCode] {
        let identity = try exchange.identity(tokens)
        let preconditions = Preconditions(exchange.fields)
        let sent = try await core.transact(as: identity) { broker, connection -> Result<[ReasonCode], Problem> in
            if !preconditions.isEmpty, let topic = messages.first?.topic {
                switch broker.retainedValue(of: topic, for: connection) {
                case .failure(let refused): return .failure(Problem(refused.reasonCode))
                case .success(let value):
                    guard preconditions.verdict(value?.entityTag, isRead: false) == .proceed else {
                        return .failure(.preconditionFailed)
                    }
                }
            }
            return .success(messages.map { broker.publish($0, from: connection) })
        }
        return try sent.get()
    }
}

extension Broker {
    /// PUBLISH as the gateway read it.
    func publish(_ message: PublishRequest, from connection: VirtualConnection) -> ReasonCode {
        publish(
            topic: message.topic.string.utf8Span.span.bytes,
            payload: message.payload.readableBytesSpan,
            qos: message.qos,
            retain: message.retain,
            properties: message.properties,
            from: connection
        )
    }
}

/// The answer for one message.
struct PublishReceipt: Encodable {
    /// Names the message in logs; nil when it was refused.
    let id: String?
    /// Left out at plain success.
    let reasonCode: UInt8?
    let reason: String?

    enum CodingKeys: String, CodingKey {
        case id
        case reasonCode = "reason_code"
        case reason
    }

    /// The same as an encoder makes of it, which would take a tenth of the time that a publish takes.
    var json: ByteBuffer {
        guard let id else { return JSON.encode(self) }
        var json = ByteBuffer(string: "{\"id\":\"\(id)\"")
        if let reason, let reasonCode { json.writeString(",\"reason\":\"\(reason)\",\"reason_code\":\(reasonCode)") }
        json.writeString("}")
        return json
    }

    init(_ reason: ReasonCode) {
        id = reason.isError ? nil : Token.unique()
        reasonCode = reason == .success ? nil : reason.rawValue
        self.reason = reason == .success ? nil : reason.name
    }
}
