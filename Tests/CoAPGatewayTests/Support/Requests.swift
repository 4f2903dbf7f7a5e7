import CoAPGateway

/// A request as the message layer would have read it.
func request(
    _ code: CoAPCode,
    _ uri: String,
    confirmable: Bool = true,
    messageID: UInt16 = 1,
    token: [UInt8] = [7],
    options: [(UInt16, [UInt8])] = [],
    payload: [UInt8] = []
) -> CoAPRequest {
    var made = CoAPRequest(isConfirmable: confirmable, code: code, messageID: messageID, token: Token(token))
    for option in RawMessage(.confirmable, code.rawValue, messageID).to(uri).options {
        made.take(UInt16(option.number), option.value.span.bytes)
    }
    for (number, value) in options { made.take(number, value.span.bytes) }
    made.payload = payload
    made.fingerprint = fingerprint(code, uri, token, options.map { "\($0)" }, payload)
    return made
}

func text(_ string: String) -> [UInt8] { Array(string.utf8) }

private func fingerprint(_ parts: any Hashable...) -> UInt64 {
    var hasher = Hasher()
    for part in parts { part.hash(into: &hasher) }
    return UInt64(bitPattern: Int64(hasher.finalize()))
}
