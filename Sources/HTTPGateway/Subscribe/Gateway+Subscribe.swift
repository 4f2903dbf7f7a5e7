import BrokerCore
import HTTPTypes
import HummingbirdCore
import JSONMessages
import MQTTCodec
import NIOCore

extension Gateway {
    /// `GET /v1/subscribe`: a stream or a long-poll, as the client accepts.
    func subscribe(_ exchange: Exchange) async throws(Problem) -> Response {
        let request = try SubscribeRequest(
            exchange.query,
            exchange.fields,
            maximumWait: Int(configuration.maximumWait.components.seconds)
        )
        let identity = try exchange.identity(tokens)
        switch request.form {
        case .stream(let format):
            guard !request.subscriptions.isEmpty || request.isPersistent else {
                throw .badRequest("no topic= to subscribe to", .topicFilterInvalid)
            }
            return stream(try await Subscriber(request, as: identity, self), format, exchange.client)
        case .longPoll(let poll):
            return request.isPersistent
                ? try await pollSession(request, poll, identity, exchange.client)
                : try await polls.poll(request, poll, identity, exchange.client, self)
        }
    }

    private func stream(_ subscriber: Subscriber, _ format: EventFormat, _ client: Client) -> Response {
        Response(
            status: .ok,
            headers: [
                .contentType: format.mediaType,
                .cacheControl: "no-store",
                // The stream ends with the connection.
                .connection: "close",
            ],
            body: ResponseBody { [heartbeat = configuration.heartbeat] writer in
                let events = EventStream(subscriber, format, client, heartbeat: heartbeat)
                try await events.write(to: &writer)
            }
        )
        // nginx would else gather a stream before it passes it on.
        .with("X-Accel-Buffering", "no")
    }

    /// A poll of a persistent session: it connects, takes what there is, and disconnects.
    ///
    /// The cursor acknowledges.
    private func pollSession(
        _ request: SubscribeRequest,
        _ poll: SubscribeRequest.LongPoll,
        _ identity: Identity,
        _ client: Client
    ) async throws(Problem) -> Response {
        let subscriber = try await Subscriber(request, as: identity, self)
        defer { subscriber.close() }
        await subscriber.catchUp()
        let deliveries = try await subscriber.inbox.batch(poll, client)
        let last = deliveries.last.map { EventID(epoch: subscriber.epoch, sequence: $0.sequence) }
        let former = subscriber.isReset ? nil : poll.cursor
        let next = last ?? former ?? EventID(epoch: subscriber.epoch, sequence: 0)
        return .batch(deliveries, epoch: subscriber.epoch, next: "\(next)", isReset: subscriber.isReset)
    }
}

/// Writes what a subscriber gets, until one of the two leaves.
struct EventStream: ~Copyable {
    /// Messages written at a time.
    private static let maximumBatch = 64
    /// How long a client may take to read the last words.
    private static let closeTimeout = TimeAmount.seconds(1)

    private let subscriber: Subscriber
    private let format: EventFormat
    private let client: Client
    private let heartbeat: RepeatedTask

    init(_ subscriber: Subscriber, _ format: EventFormat, _ client: Client, heartbeat: Duration) {
        self.subscriber = subscriber
        self.format = format
        self.client = client
        let inbox = subscriber.inbox
        self.heartbeat = client.channel.eventLoop.scheduleRepeatedTask(
            initialDelay: heartbeat.timeAmount,
            delay: heartbeat.timeAmount
        ) { _ in inbox.alarm() }
        let channel = client.channel
        client.presence.onLeaving {
            inbox.leave()
            // Wakes a writer that waits for the client to read.
            channel.close(promise: nil)
        }
    }

    @concurrent
    consuming func write(to writer: inout any ResponseBodyWriter) async throws {
        defer {
            heartbeat.cancel()
            client.presence.onLeaving(nil)
            subscriber.close()
        }
        try await writer.write(format.opening(isReset: subscriber.isReset))
        while true {
            switch await subscriber.inbox.next(maximum: Self.maximumBatch) {
            case .deliveries(let batch):
                var buffer = ByteBuffer()
                let now = NIODeadline.now()
                for delivery in batch { format.write(delivery, epoch: subscriber.epoch, at: now, to: &buffer) }
                try await writer.write(buffer)
                subscriber.wrote(batch)
            case .alarm:
                try await writer.write(format.heartbeat)
                subscriber.grewOlder()
            case .closed(let reason):
                try await writer.write(format.closing(reason))
                return try await writer.finish(nil)
            case .left, .superseded:
                return try await writer.finish(nil)
            }
        }
    }
}
