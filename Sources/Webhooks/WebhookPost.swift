import AsyncHTTPClient
import BrokerCore
import CoreRuntime
import FoundationEssentials
import Glibc
import JSONMessages
package import NIOCore
import NIOHTTP1
import NIOPosix

/// Posts attempts, with one client for all webhooks.
package struct WebhookPost: Sendable {
    /// What an endpoint made of an attempt.
    package struct Answer: Sendable {
        package let outcome: DeliverySchedule<Webhook.Item>.Outcome
        /// For the log; nothing that is secret.
        package let words: String

        package init(outcome: DeliverySchedule<Webhook.Item>.Outcome, words: String) {
            self.outcome = outcome
            self.words = words
        }
    }

    /// Bytes of an answer's body that are read, so that its connection can be used again.
    private static let maximumAnswer = 65_536
    /// How long that may take.
    private static let patience = Duration.seconds(2)
    /// Connections that were kept and have ended, one after another; the next end is the endpoint's doing.
    private static let maximumRepeats = 2
    /// These say that the message is at fault: it would be refused the next time, too.
    private static let refusals: Set<UInt> = [400, 410, 413, 414, 415, 422]

    private let client: HTTPClient

    package init(eventLoopGroup: any EventLoopGroup) {
        var configuration = HTTPClient.Configuration()
        // A redirect is an answer like any other that is no success: what is signed for one is not for another.
        configuration.redirectConfiguration = .disallow
        // Trying again is the schedule's.
        configuration.connectionPool.retryConnectionEstablishment = false
        client = HTTPClient(eventLoopGroupProvider: .shared(eventLoopGroup), configuration: configuration)
    }

    package func shutdown() async { try? await client.shutdown() }

    func send(
        _ attempt: DeliverySchedule<Webhook.Item>.Attempt,
        _ configuration: WebhookConfiguration
    ) async -> Answer {
        let request = Self.request(attempt, configuration, timestamp: Int(Date().timeIntervalSince1970))
        let deadline = NIODeadline.now() + configuration.timeout
        var repeats = 0
        while true {
            do {
                let response = try await client.execute(request, deadline: deadline)
                // The status is what counts: the rest is read for a moment, so that the connection can be used again.
                await Self.read(response.body)
                return Self.answer(response.status, retryAfter: response.headers.first(name: "Retry-After"))
            } catch {
                guard repeats < Self.maximumRepeats, Self.isEndOfConnection(error) else {
                    return Answer(outcome: .failed(retryAfter: nil), words: Self.words(for: error))
                }
                repeats += 1
            }
        }
    }

    /// Whether a connection has ended without an answer.
    ///
    /// It is one that was kept, and that its endpoint has given up at the same moment. Then the request was not looked at,
    /// and a new connection will do (RFC 9112 §9.3.1); were it otherwise, its `webhook-id` would tell.
    private static func isEndOfConnection(_ error: any Error) -> Bool {
        switch error {
        case let error as HTTPClientError: error == .remoteConnectionClosed
        case let error as IOError: [ECONNRESET, EPIPE, ENOTCONN].contains(error.errnoCode)
        case let error as ChannelError: error == .ioOnClosedChannel || error == .alreadyClosed
        default: false
        }
    }

    /// What kept an attempt from an answer, in words for an operator.
    static func words(for error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            return error.dnsAError != nil && error.connectionErrors.isEmpty
                ? "the name \(error.host) is not known"
                : error.connectionErrors.first.map { $0.error.words } ?? "\(error)"
        case let error as HTTPClientError: return "\(error.shortDescription)"
        default: return error.words
        }
    }

    /// Reads an answer to its end, as long as that does not take too long: the client's own deadline ends with the header.
    private static func read(_ body: HTTPClientResponse.Body) async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { _ = try? await body.collect(upTo: maximumAnswer) }
            // The deadline: no wait for an event, since the peer may send none; the first of the two ends the other.
            tasks.addTask { try? await Task.sleep(for: patience) }
            await tasks.next()
            tasks.cancelAll()
        }
    }

    /// The request of an attempt: one message is an object, a batch an array.
    static func request(
        _ attempt: DeliverySchedule<Webhook.Item>.Attempt,
        _ configuration: WebhookConfiguration,
        timestamp: Int
    ) -> HTTPClientRequest {
        let now = NIODeadline.now()
        let isBatch = configuration.schedule.batch > 1
        var body = ByteBuffer(string: isBatch ? "[" : "")
        for (place, item) in attempt.items.enumerated() where isBatch || place == 0 {
            if place > 0 { body.writeStaticString(",") }
            MessageJSON.write(item.delivery, name: item.id, at: now, to: &body)
        }
        if isBatch { body.writeStaticString("]") }
        let id = attempt.items.first?.id ?? ""
        var request = HTTPClientRequest(url: configuration.url)
        request.method = .POST
        request.headers = [
            "Content-Type": "application/json",
            "User-Agent": "Sluice",
            "webhook-id": id,
            "webhook-timestamp": "\(timestamp)",
            "webhook-attempt": "\(attempt.number)",
        ]
        for header in configuration.headers { request.headers.replaceOrAdd(name: header.name, value: header.value) }
        if let signature = configuration.signature {
            request.headers.add(
                name: "webhook-signature",
                value: signature.sign(id: id, timestamp: timestamp, body: body)
            )
        }
        request.body = .bytes(body)
        return request
    }

    static func answer(_ status: HTTPResponseStatus, retryAfter: String?) -> Answer {
        let words = "\(status.code)"
        if (200..<300).contains(status.code) { return Answer(outcome: .delivered, words: words) }
        if refusals.contains(status.code) { return Answer(outcome: .refused, words: words) }
        // Dates are left alone: clocks differ.
        let seconds = retryAfter.flatMap { Int64($0) }
        return Answer(outcome: .failed(retryAfter: seconds.map { .seconds(min($0, 86_400)) }), words: words)
    }
}
