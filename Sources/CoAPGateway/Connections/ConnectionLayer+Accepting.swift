import BrokerCore
import CSockets
import CoreRuntime
import Glibc
import NIOCore

extension ConnectionLayer {
    /// Accepts who waits, as long as there is room; who is not accepted goes on to wait in the system's queue.
    func accept() {
        for _ in 0..<Self.acceptedAtATime {
            guard accepting.room.used < accepting.room.limit.total, shared.places.hasPlace else {
                return pauseListening()
            }
            var text = [CChar](repeating: 0, count: 80)
            let descriptor = streams_accept(&streams, &text, text.count)
            switch descriptor {
            case 0...: break
            case Int32(stream_failed): continue
            case Int32(stream_no_descriptor):
                shared.refusals.note(.descriptors, "")
                return pauseListening()
            default: return
            }
            let address = text.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if !admit(descriptor, ClientAddress(address)) { Glibc.close(descriptor) }
        }
    }

    /// - Returns: whether there is a place for it.
    private func admit(_ descriptor: Int32, _ address: ClientAddress) -> Bool {
        let holder = Holder(network: address.network)
        guard accepting.room.refusal(for: holder) == nil else {
            shared.refusals.note(.connections, "\(address)")
            return false
        }
        guard let place = shared.places.take(for: address) else { return false }
        table.lastID += 1
        guard streams_add(&streams, descriptor, UInt64(table.lastID)) else { return false }
        accepting.room.add(1, for: holder)
        let id = EndpointID(rawValue: table.lastID)
        let link = Link(
            Connection(id: id, bounds: bounds, now: now),
            descriptor: descriptor,
            address: address,
            place: place,
            account: shared.bytes.account(of: address)
        )
        if let secure = tls.context, !encrypt(link, secure) {
            accepting.room.giveBack(for: holder)
            return false
        }
        table.links[id] = link
        attend(link)
        return true
    }

    private func pauseListening() {
        accepting.pausedUntil = now + Self.pause
        listen(false)
    }

    func listen(_ listens: Bool) {
        accepting.isListening = listens && !accepting.isStopping
        streams_change(&streams, streams.listening, UInt64(stream_listening), accepting.isListening, false)
    }

    func stopAccepting() {
        accepting.isStopping = true
        listen(false)
    }
}
