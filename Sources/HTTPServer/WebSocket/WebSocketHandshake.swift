package import NIOHTTP1

/// What is spoken in a WebSocket.
package enum Subprotocol: String, CaseIterable, Sendable {
    /// [MQTT-6.0.0-3]
    case mqtt
    /// What old clients say; it means the same bytes.
    case mqtt31 = "mqttv3.1"
    /// One JSON object a message, for pages that have no MQTT library.
    case json = "sluice.json"
}

/// Decides whether a request becomes a WebSocket (RFC 6455 §4.2.1, MQTT 5.0 §6).
package struct WebSocketHandshake: Sendable {
    let path: String
    let requiresSubprotocol: Bool

    /// - Parameter requiresSubprotocol: else a client that names none we know is taken for one of MQTT.
    package init(path: String, requiresSubprotocol: Bool = true) {
        self.path = path
        self.requiresSubprotocol = requiresSubprotocol
    }

    /// Whether a request target names the WebSocket, whatever its query.
    func isWebSocket(target: String) -> Bool {
        RequestTarget(target).path == path
    }

    /// The answer to a request for the WebSocket.
    ///
    /// - Returns: the subprotocol to name, if any, or why there is no WebSocket.
    package func decide(_ head: HTTPRequestHead) -> Result<Subprotocol?, Problem> {
        let headers = head.headers
        guard head.method == .GET else { return .failure(.methodNotAllowed(["GET"])) }
        guard headers[canonicalForm: "Upgrade"].contains(where: { $0.lowercased() == "websocket" }),
            headers[canonicalForm: "Connection"].contains(where: { $0.lowercased() == "upgrade" })
        else { return .failure(.upgradeRequired) }
        guard headers["Sec-WebSocket-Version"] == ["13"] else { return .failure(.webSocketVersion) }
        // 16 bytes in base64 (RFC 6455 §4.1).
        guard let key = headers["Sec-WebSocket-Key"].first, headers["Sec-WebSocket-Key"].count == 1,
            key.utf8.count == 24, key.hasSuffix("==")
        else { return .failure(.badRequest("Sec-WebSocket-Key is not 16 bytes in base64")) }
        guard !headers.contains(name: "Transfer-Encoding"), headers["Content-Length"].allSatisfy({ $0 == "0" }) else {
            return .failure(.badRequest("a request to upgrade can't have a body"))
        }
        let offered = headers[canonicalForm: "Sec-WebSocket-Protocol"].map(String.init)
        let chosen = offered.lazy.compactMap(Subprotocol.init).first
        guard chosen != nil || !requiresSubprotocol else {
            return .failure(.badRequest("no subprotocol offered that is served: Sec-WebSocket-Protocol: mqtt"))
        }
        return .success(chosen)
    }
}
