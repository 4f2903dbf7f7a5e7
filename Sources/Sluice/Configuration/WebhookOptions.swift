import Foundation
import MQTTCodec
import NIOCore
package import Webhooks

/// One entry of `webhooks`, with the defaults of what is not said.
package struct WebhookOptions: Equatable, Sendable {
    package var name = ""
    package var url = ""
    /// What else each request says, the credentials of the URL among it.
    package var headers: [WebhookHeader] = []
    package var topics: [String] = []
    package var qos = 1
    /// The user it is to the access rules; nil is its name.
    package var user: String?
    /// nil signs nothing.
    package var secret: String?
    /// Where it was read.
    var secretFile: String?
    /// Requests at a time; 1 keeps the order of the messages.
    package var concurrency = 1
    /// Messages of one request, at most; 1 posts objects, more posts arrays.
    package var batch = 1
    /// Seconds the endpoint may take to answer.
    package var timeout = 10
    /// Seconds from the first failure to the second attempt.
    package var retryMinimum = 1
    /// Seconds from one attempt to the next, at most.
    package var retryMaximum = 300
    /// Failures in a row that open the circuit breaker.
    package var breakerFailures = 5
    /// Seconds its session outlives a stop of the broker.
    package var sessionExpiry = Int(UInt32.max)

    init() {}

    init(_ reader: inout MappingReader) {
        // It is a level of a topic.
        name =
            reader.converted("name", expected: "must be text without / + #") { text in
                text.isEmpty || text.contains { "/+#\0".contains($0) } ? nil : text
            } ?? name
        readURL(&reader)
        topics =
            reader.convertedList("topics", expected: "must be a list of Topic Filters") { filter in
                (try? TopicFilter(filter)).map { _ in filter }
            } ?? topics
        reader.integer("qos", in: 0...2, &qos)
        user = reader.converted("user", expected: "must be text") { $0.isEmpty ? nil : $0 }
        readSecret(&reader)
        reader.integer("concurrency", in: 1...100, &concurrency)
        reader.integer("batch", in: 1...300, &batch)
        reader.integer("timeout", in: 1...600, &timeout)
        reader.integer("retry_minimum", in: 1...86_400, &retryMinimum)
        reader.integer("retry_maximum", in: 1...86_400, &retryMaximum)
        reader.integer("breaker_failures", in: 1...1_000, &breakerFailures)
        reader.integer("session_expiry", in: 1...4_294_967_295, &sessionExpiry)
        reader.require(["name", "url", "topics"])
        if retryMaximum < retryMinimum { reader.report("is less than retry_minimum", "retry_maximum") }
        reader.finish()
    }

    private mutating func readURL(_ reader: inout MappingReader) {
        for (name, value) in reader.pairs("headers") ?? [] {
            if let header = WebhookHeader(name, value) {
                headers.append(header)
            } else {
                reader.report("\(name) can't be a field of the request, or is the broker's own", "headers")
            }
        }
        guard let text = reader.converted("url", expected: "must be a URL", { $0 }) else { return }
        do throws(WebhookURL.Refused) {
            let read = try WebhookURL(text)
            url = read.text
            guard let authorization = read.authorization.flatMap({ WebhookHeader("Authorization", $0) }) else { return }
            if headers.contains(where: { $0.name.lowercased() == "authorization" }) {
                reader.report("has a user, and headers have Authorization: only one of them", "url")
            }
            headers.append(authorization)
        } catch {
            // Not the URL itself, which may have a password.
            reader.report(error.words, "url")
        }
    }

    private mutating func readSecret(_ reader: inout MappingReader) {
        let inline = reader.converted("secret", expected: "must be text") { $0.isEmpty ? nil : $0 }
        let file = reader.file("secret_file")
        if inline != nil, file != nil {
            reader.report("there is a secret_file, too: only one of them", "secret")
        }
        secret = inline
        secretFile = file
        if let file {
            secret = FileManager.default.contents(atPath: file)
                .flatMap { String(data: $0, encoding: .utf8)?.trimmingCharacters(in: .whitespacesAndNewlines) }
            if secret == nil { reader.report("cannot be read: \(file)", "secret_file") }
        }
        guard let secret, WebhookSignature(secret: secret) == nil else { return }
        reader.report("must be text, or whsec_ and base64", file == nil ? "secret" : "secret_file")
    }

    /// What the webhook is made of.
    package var configuration: WebhookConfiguration {
        var configuration = WebhookConfiguration(name: name, url: url, topics: topics)
        configuration.qos = QoS(rawValue: UInt8(clamping: qos)) ?? .atLeastOnce
        configuration.user = user
        configuration.headers = headers
        configuration.signature = secret.flatMap(WebhookSignature.init)
        configuration.timeout = .seconds(Int64(timeout))
        configuration.schedule.concurrency = concurrency
        configuration.schedule.batch = batch
        configuration.schedule.minimumDelay = .seconds(Int64(retryMinimum))
        configuration.schedule.maximumDelay = .seconds(Int64(retryMaximum))
        configuration.schedule.failuresToOpen = breakerFailures
        configuration.sessionExpiryInterval = UInt32(clamping: sessionExpiry)
        return configuration
    }
}
