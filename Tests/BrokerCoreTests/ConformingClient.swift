import BrokerTestSupport
import MQTTCodec
import NIOCore

/// A client that keeps its Session State over connections as the standard asks of it, and writes down what it got.
final class ConformingClient {
    /// A message on its way to the broker.
    private struct Outgoing {
        let publish: Publish
        var isReleased = false
    }

    let clientID: String
    let version: ProtocolVersion
    private var connection: TestClient?
    private var outgoing: [Outgoing] = []
    private var received: Set<PacketID> = []
    private var arrived: [Packet] = []
    private var lastID: PacketID = 0
    /// Texts delivered, by QoS, in the order they came.
    ///
    /// QoS 2 stands here once it is owned.
    private(set) var delivered: [QoS: [String]] = [.atLeastOnce: [], .exactlyOnce: []]

    init(_ clientID: String, _ version: ProtocolVersion) {
        self.clientID = clientID
        self.version = version
    }

    var isConnected: Bool { connection != nil }
    var isIdle: Bool { outgoing.isEmpty }
    var outgoingCount: Int { outgoing.count }

    /// Connects anew, on top of a connection that may still stand, and sends again what was not acknowledged.
    func connect(to test: TestBroker, receiveMaximum: UInt16) throws {
        arrived = []
        let client = try test.connectPersistent(clientID, version) {
            if version == .v5 { $0.properties.receiveMaximum = receiveMaximum }
        }
        connection = client
        for entry in outgoing {
            if entry.isReleased {
                client.send(.pubrel(Acknowledgement(packetID: entry.publish.packetID ?? 0)))
            } else {
                var again = entry.publish
                again.dup = true
                client.send(.publish(again))
            }
        }
    }

    func subscribe(_ filter: String) throws { try connection?.subscribe(filter, qos: .exactlyOnce) }

    /// The connection breaks, and with it what has not been read.
    func drop() {
        connection?.drop()
        forgetConnection()
    }

    /// The broker is gone.
    func forgetConnection() {
        connection = nil
        arrived = []
    }

    func publish(_ text: String, to topic: String, qos: QoS) throws {
        guard let connection, outgoing.count < 15 else { return }
        repeat { lastID = lastID % 40 + 1 } while outgoing.contains { $0.publish.packetID == lastID }
        let publish = Publish(
            topic: try TopicName(topic),
            payload: ByteBuffer(string: text),
            qos: qos,
            packetID: lastID
        )
        outgoing.append(Outgoing(publish: publish))
        connection.send(.publish(publish))
    }

    /// Reads and answers up to so many packets.
    ///
    /// - Returns: how many there were.
    @discardableResult
    func read(_ count: Int) throws -> Int {
        guard let connection else { return 0 }
        arrived += try connection.packets()
        var done = 0
        while done < count, !arrived.isEmpty {
            answer(arrived.removeFirst(), connection)
            arrived += try connection.packets()
            done += 1
        }
        return done
    }

    private func answer(_ packet: Packet, _ connection: TestClient) {
        switch packet {
        case .publish(let publish): take(publish, connection)
        case .pubrel(let ack):
            received.remove(ack.packetID)
            connection.send(.pubcomp(Acknowledgement(packetID: ack.packetID)))
        case .puback(let ack), .pubcomp(let ack): outgoing.removeAll { $0.publish.packetID == ack.packetID }
        case .pubrec(let ack):
            for place in outgoing.indices where outgoing[place].publish.packetID == ack.packetID {
                outgoing[place].isReleased = true
            }
            connection.send(.pubrel(Acknowledgement(packetID: ack.packetID)))
        default: break
        }
    }

    private func take(_ publish: Publish, _ connection: TestClient) {
        guard let id = publish.packetID else { return }
        if publish.qos == .atLeastOnce {
            delivered[.atLeastOnce]?.append(publish.text)
            connection.send(.puback(Acknowledgement(packetID: id)))
        } else {
            if received.insert(id).inserted { delivered[.exactlyOnce]?.append(publish.text) }
            connection.send(.pubrec(Acknowledgement(packetID: id)))
        }
    }
}
