import DequeModule
import MQTTCodec
import NIOCore

// What goes to an address that may be another's: at most three times the bytes that came from it, until it has shown an Echo
// or acknowledged something (RFC 7252 §11.3, RFC 9175 §2.4). Its client is served all the same, in smaller parts.
extension CoAPServer {
    /// What the response to a request has to fit into: an address that is not proven gets no more than three times the
    /// bytes of the request, whatever came before (RFC 9175 §2.4).
    func room(for request: CoAPRequest, _ endpoint: Endpoint) -> MessageRoom {
        guard !layer.isReliable else { return .connection(layer.largestMessage(to: endpoint.id)) }
        guard let allowance = layer.allowance(to: endpoint.id) else { return .datagram }
        return .unproven(min(allowance, Peer.amplification * request.size) - Int(request.token.length))
    }

    /// What a notification has to fit into.
    func room(for token: Token, _ endpoint: Endpoint) -> MessageRoom {
        guard !layer.isReliable else { return .connection(layer.largestMessage(to: endpoint.id)) }
        return layer.allowance(to: endpoint.id).map { .unproven($0 - Int(token.length)) } ?? .datagram
    }

    func isProven(_ endpoint: Endpoint) -> Bool { layer.isReliable || layer.allowance(to: endpoint.id) == nil }

    /// The answer as an address may get it that may be another's: a part of it stands there by now, or an error loses its
    /// words; a client that is asked for an Echo gets all of it when it sends that back (RFC 9175 §2.4).
    func bounded(_ answer: CoAPResponse, _ request: CoAPRequest, _ endpoint: Endpoint) -> CoAPResponse {
        guard !answer.isBare, case .unproven(let bytes) = room(for: request, endpoint) else { return answer }
        var bounded = answer
        if answer.encodedLength > bytes { bounded.echo = nil }
        if bounded.encodedLength > bytes { bounded = brief(answer, bytes) }
        guard bounded.block2?.more == true || (bounded.code == .unauthorized && bounded.payloadLength == 0) else {
            return bounded
        }
        var asking = bounded
        asking.echo = layer.echo(for: endpoint.id)
        return asking.encodedLength <= bytes ? asking : bounded
    }

    /// The final notification of an observation, as short as it has to be.
    func finalNotification(_ words: CoAPResponse, _ token: Token, _ endpoint: Endpoint) -> CoAPResponse {
        guard case .unproven(let bytes) = room(for: token, endpoint), words.encodedLength > bytes else { return words }
        return brief(words, bytes)
    }

    /// An error in as many bytes; in place of another response, 4.01.
    private func brief(_ answer: CoAPResponse, _ bytes: Int) -> CoAPResponse {
        guard answer.code.isError else { return CoAPResponse(.unauthorized) }
        var brief = answer
        brief.payload = .none
        guard brief.encodedLength <= bytes else { return CoAPResponse(answer.code) }
        if case .text(let words) = answer.payload {
            var words = words[...]
            while !words.isEmpty, brief.encodedLength + 1 + words.utf8.count > bytes { words = words.withoutLastWord }
            if !words.isEmpty { brief.payload = .text(String(words)) }
        }
        return brief
    }

    /// Whose address is not proven gets one at a time: its acknowledgement is the proof (RFC 7641 §4.5.1).
    func mostOutstanding(_ endpoint: Endpoint) -> Int {
        configuration.nstart > 1 && layer.allowance(to: endpoint.id) != nil ? 1 : configuration.nstart
    }

    /// Sends what does not fit into what an unproven address may get once it has given a sign of life.
    func awaitSign(_ item: Endpoint.Outgoing, _ endpoint: Endpoint, _ now: NIODeadline) {
        do throws(SendFailure) {
            let id = try layer.ping(endpoint.id)
            endpoint.sending.outgoing.prepend(item)
            endpoint.sending.outstanding.append(Endpoint.Outstanding(id: id, item: .abandoned, sentAt: now))
            confirmables[id] = endpoint
        } catch {
            guard error != .busy else {
                endpoint.sending.outgoing.prepend(item)
                return rest(endpoint, until: now + Self.networkPatience)
            }
            // It was asked for one as often as it may be.
            unreachable(endpoint, item, at: endpoint.sending.outstanding.count)
        }
    }
}

extension Substring {
    /// What stands before its last space, and before the colon there; nothing if it is one word.
    fileprivate var withoutLastWord: Substring {
        guard let space = utf8.lastIndex(of: UInt8(ascii: " ")) else { return "" }
        let rest = self[..<space]
        return rest.utf8.last == UInt8(ascii: ":") ? rest.dropLast() : rest
    }
}
