import BrokerCore
import CoreRuntime
import HTTPServer
import JSONMessages
import MQTTCodec
import NIOCore

extension JSONHandler {
    /// Does what one message asks for; an empty one is a pong.
    func perform(_ text: ByteBuffer) {
        guard text.readableBytes > 0, let eventLoop = context?.eventLoop else { return heard() }
        isReading = true
        JSONReader.read(text, on: eventLoop) { [maximum = gateway.limits.filtersPerPacket] text in
            LabelledOperation(text, maximumFilters: maximum)
        } _: { [self] read in
            isReading = false
            guard state != .closed else { return }
            perform(read)
            if text.readableBytes > JSONReader.small { proceed() }
        }
    }

    private func perform(_ read: LabelledOperation) {
        let label = read.label
        do throws(Problem) {
            let operation = try read.operation.get()
            guard let connection else {
                guard case .connect(let connect) = operation else {
                    throw .unprocessable("the first op is connect [MQTT-3.1.0-1]", .protocolError)
                }
                return try self.connect(connect, label)
            }
            try perform(operation, label, connection)
        } catch {
            gateway.noteRefused(
                error,
                "sluice.json",
                gateway.configuration.websocketPath,
                by: address,
                over: "websocket"
            )
            write(JSONAnswer(error, label))
            // As in MQTT, nobody stays who does not begin with CONNECT.
            if connection == nil { close() }
        }
    }

    private func perform(
        _ operation: JSONOperation,
        _ label: JSONLabel?,
        _ connection: VirtualConnection
    ) throws(Problem) {
        switch operation {
        case .connect: throw .unprocessable("a second connect [MQTT-3.1.0-2]", .protocolError)
        case .subscribe(let subscriptions): subscribe(subscriptions, label, connection)
        case .unsubscribe(let filters):
            ask { broker in
                broker.heard(from: connection)
                return JSONAnswer(.unsubscribed, label, broker.unsubscribe(filters, on: connection))
            }
        case .publish(let message): publish(message, label, connection)
        case .acknowledge(let id): try acknowledge(id, connection)
        case .ping:
            heard()
            write(JSONAnswer(.pong, label))
        case .disconnect(let sessionExpiryInterval):
            self.connection = nil
            core.submit { broker in
                broker.disconnect(
                    connection,
                    reason: .normalDisconnection,
                    sessionExpiryInterval: sessionExpiryInterval
                )
            }
            close()
        }
    }

    private func heard() {
        guard let connection else { return }
        core.submit { $0.heard(from: connection) }
    }

    private func connect(_ connect: JSONConnect, _ label: JSONLabel?) throws(Problem) {
        guard let eventLoop = context?.eventLoop else { return }
        let identity = try Identity(
            try connect.authorization(),
            clientID: connect.clientID ?? "",
            address: address,
            transportIdentity: transportIdentity,
            tokens: gateway.tokens
        )
        let request = connect.request(as: identity)
        let connection = VirtualConnection(
            transportProtocol: .websocket,
            address: address,
            transportIdentity: transportIdentity,
            outlet: .messages(
                MessageSink(
                    capacity: gateway.configuration.subscriberMessages,
                    maximumBytes: gateway.configuration.subscriberBytes,
                    receive: { batch in eventLoop.execute { self.deliver(batch) } },
                    closed: { reason in eventLoop.execute { self.ended(reason) } }
                )
            )
        )
        self.connection = connection
        state = .connecting
        core.submit { broker in
            broker.connect(request, on: connection) { result in
                guard !result.reasonCode.isError else {
                    return eventLoop.execute { self.connected(result, label) }
                }
                broker.whenStored(connection) { isStored in
                    guard isStored else {
                        // A session that would not survive the broker is none that lasts.
                        broker.disconnect(connection, reason: .serverUnavailable)
                        return eventLoop.execute {
                            self.connected(.refused(.serverUnavailable, clientID: result.clientID), label)
                        }
                    }
                    // Before the messages, which come at the end of the tick.
                    eventLoop.execute { self.connected(result, label) }
                    broker.resume(connection)
                }
            }
        }
    }

    private func connected(_ result: ConnectResult, _ label: JSONLabel?) {
        guard state == .connecting else { return }
        guard !result.reasonCode.isError else {
            state = .awaitingConnect
            connection = nil
            write(JSONAnswer(result, label))
            return close()
        }
        epoch = EventID.epoch(of: result.sessionNumber)
        connected()
        write(JSONAnswer(result, label))
        // What has been delivered while the answer waited for the store.
        writeOutgoing()
        proceed()
    }

    private func subscribe(
        _ subscriptions: [Subscribe.Subscription],
        _ label: JSONLabel?,
        _ connection: VirtualConnection
    ) {
        ask { broker in
            broker.heard(from: connection)
            var answer: JSONAnswer?
            broker.subscribe(subscriptions, identifier: nil, on: connection) { reasons in
                answer = JSONAnswer(.subscribed, label, reasons)
            }
            return answer
        }
    }

    /// Answers what has a label, and what is refused.
    private func publish(_ message: PublishRequest, _ label: JSONLabel?, _ connection: VirtualConnection) {
        ask { broker in
            broker.heard(from: connection)
            let reason = broker.publish(message, from: connection)
            return label == nil && !reason.isError ? nil : JSONAnswer(.published, label, reason)
        }
    }

    private func acknowledge(_ id: EventID, _ connection: VirtualConnection) throws(Problem) {
        guard id.epoch == epoch, let packetID = unacknowledged.removeValue(forKey: id.sequence) else {
            throw .unprocessable("no message of that id waits to be acknowledged", .packetIdentifierNotFound)
        }
        core.submit { broker in
            broker.heard(from: connection)
            broker.acknowledge(packetID, on: connection)
        }
    }
}
