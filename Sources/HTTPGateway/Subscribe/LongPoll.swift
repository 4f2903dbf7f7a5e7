import BrokerCore
import HTTPServer
import HTTPTypes
import JSONMessages
import MQTTCodec
import NIOCore

extension Inbox {
    /// Waits for a first message, and takes what there is then.
    ///
    /// - Returns: nothing when time is up or the client has left.
    /// - Throws: why the broker has ended the connection.
    func batch(_ poll: SubscribeRequest.LongPoll, _ client: Client) async throws(Problem) -> [Delivery] {
        enter()
        let alarm = Alarm(client.channel, after: .seconds(Int64(poll.wait))) { self.alarm() }
        client.presence.onLeaving { self.leave() }
        defer {
            alarm.cancel()
            client.presence.onLeaving(nil)
        }
        switch await next(maximum: poll.maximum) {
        case .deliveries(let batch): return batch
        case .closed(let reason): throw Problem(reason)
        case .alarm, .left, .superseded: return []
        }
    }
}

extension Response {
    /// The answer to a poll.
    static func batch(_ deliveries: [Delivery], epoch: String, next: String, isReset: Bool = false) -> Response {
        let now = NIODeadline.now()
        // `reset` when what the client has missed is unknown, `dropped` when it was too slow for so many messages of QoS 0.
        let lost = deliveries.reduce(0) { $0 + $1.lost }
        var body = ByteBuffer(string: "{\"messages\":[")
        for (place, delivery) in deliveries.enumerated() {
            if place > 0 { body.writeStaticString(",") }
            let id = EventID(epoch: epoch, sequence: delivery.sequence)
            MessageJSON.write(delivery, name: id.description, at: now, to: &body)
        }
        body.writeStaticString("],\"next\":")
        body.writeJSON(next)
        if isReset { body.writeStaticString(",\"reset\":true") }
        if lost > 0 { body.writeString(",\"dropped\":\(lost)") }
        body.writeStaticString("}")
        return Response(
            status: .ok,
            headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: body
        )
    }
}
