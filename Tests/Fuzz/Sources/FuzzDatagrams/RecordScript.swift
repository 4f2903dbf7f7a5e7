import BrokerCore
import CoAPGateway
import NIOCore

/// Records of DTLS that a listener's end of a session takes.
enum RecordScript {
    private static let security = CoAPSecurity(
        preSharedKeys: PreSharedKeys([Array("lamp".utf8): Array("sesame".utf8)])
    )
    /// The fastest handshake there is.
    private static let priorities = "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM-8"

    /// A client begins whose address is proven: nobody who has no key gets in, and it is told once why.
    static func begin(_ input: Input) {
        var input = input
        var refusals = 0
        var isOver = false
        do {
            let now = NIODeadline.now()
            let context = try SecureContext(security, .datagrams, now: now)
            let session = try context.makeSession(nil, now: now) { record in
                precondition(record.count <= SecureContext.largestRecord)
                return true
            }
            let happened = { (happening: SecureSession.Happening) in
                precondition(!isOver, "something after the end")
                switch happening {
                case .established: preconditionFailure("somebody got in")
                case .received: preconditionFailure("something was read")
                case .refused: refusals += 1
                case .ended: isOver = true
                }
            }
            while !input.isEmpty, !isOver {
                input.chunk().withUnsafeBytes { session.take($0, now: now, happened) }
            }
            if !isOver { session.goOn(now: now + .seconds(31), happened) }
            precondition(isOver && refusals == 1, "\(refusals) refusals")
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// A session goes on between whatever comes: each record of its client is read once, and nothing else is.
    static func go(on input: Input) {
        var input = input
        do {
            let client = try SecureClient(.datagrams, .key("lamp", "sesame"), priorities: priorities)
            let server = try SecureServer(security, .datagrams)
            try carry(client, server)
            precondition(server.established == .some(TransportIdentity(name: "lamp", key: Array("sesame".utf8))))
            var number: UInt8 = 0
            var former: [UInt8] = []
            while !input.isEmpty {
                number &+= 1
                let how = input.byte()
                let bytes = input.chunk()
                client.send([number, 7])
                guard let record = client.takeLast() else { preconditionFailure("no record") }
                server.forgetReceived()
                try server.take(changed(record, former, bytes, how))
                try server.take(record)
                try server.take(record)
                precondition(!server.isOver && server.received == [[number, 7]], "\(server.received)")
                former = record
            }
            precondition(server.send([1]))
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// What somebody makes of a record who has seen it, or of nothing.
    private static func changed(_ record: [UInt8], _ former: [UInt8], _ bytes: [UInt8], _ how: UInt8) -> [UInt8] {
        let place = Int(how >> 3)
        let length = [UInt8(truncatingIfNeeded: bytes.count >> 8), UInt8(truncatingIfNeeded: bytes.count)]
        switch how & 7 {
        case 0: return bytes
        // In the same epoch, with the number that is to come.
        case 1: return Array(record.prefix(11)) + length + bytes
        case 2: return zip(record, bytes + [UInt8](repeating: 0, count: record.count)).map { $0 ^ $1 }
        case 3: return former + bytes
        case 4: return Array(record.prefix(place)) + bytes
        case 5: return Array(bytes.prefix(place)) + Array(record.dropFirst(place))
        case 6: return Array(former.prefix(place)) + Array(record.dropFirst(place))
        default: return Array(record.prefix(3)) + bytes
        }
    }
}
