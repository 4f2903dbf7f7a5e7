import BrokerCore
import HTTPServer
import HTTPTypes
import JSONMessages
import MQTTCodec
import NIOCore

extension Gateway {
    /// `GET /v1/subscribe`: a stream or a long-poll, as the client accepts.
    func subscribe(_ exchange: Exchange) async throws(Problem) -> Response {
        let request = try SubscribeRequest(
            exchange.query,
            exchange.fields,
            maximumWait: Int(configuration.maximumWait.components.seconds),
            maximumFilters: limits.filtersPerPacket
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
        let encoder = encoders.encoder(of: client.channel.eventLoop)
        let events = EventStream(subscriber, format, client, encoder, heartbeat: configuration.heartbeat)
        return Response(
            status: .ok,
            headers: [
                .contentType: format.mediaType,
                // Proxies that compress would hold it back.
                .cacheControl: "no-store, no-transform",
                // The stream ends with the connection.
                .connection: "close",
            ],
            body: .stream(events)
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
